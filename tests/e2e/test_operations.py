"""What an operator uses: the health check of containers, the line of status."""
import json
import subprocess

import grpc
import pytest
from grpc_client import Client
from harness import BINARY, MODEL_NAME, Server, free_port, wait_for


def healthcheck(*arguments, **environment):
    command = [BINARY, "healthcheck", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30).returncode


def test_healthcheck_finds_the_server_as_serve_was_told(server):
    assert healthcheck("--port", server.port) == 0
    assert healthcheck("--live", SLUICE_PORT=str(server.port), SLUICE_HOST="0.0.0.0") == 0
    assert healthcheck("--port", free_port()) == 1
    assert healthcheck("--port", "none") == 2


def test_a_line_of_status_while_there_is_work(tmp_path):
    with Server(tmp_path / "log", status_interval=1) as server:
        body = {"model": MODEL_NAME, "prompt": "x", "max_tokens": 20, "ignore_eos": True}
        assert server.post("/v1/completions", body)[0] == 200
        wait_for(lambda: "waiting 0, prompt" in server.log(), 10, "a line of status")


def test_the_request_log_tells_times_and_tokens_and_no_content(tmp_path):
    path = tmp_path / "requests.jsonl"
    with Server(tmp_path / "log", request_log=path) as server, Client(server.grpc_port) as client:
        body = {"model": MODEL_NAME, "prompt": "a secret", "max_tokens": 5, "ignore_eos": True}
        assert server.post("/v1/completions", body)[0] == 200
        assert server.post("/v1/completions", {**body, "n": 0})[0] == 400
        trace = [("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"), ("x-request-id", "mine")]
        client.text(text="a secret", sampling={"max_tokens": 5, "ignore_eos": True}, metadata=trace)
        wait_for(lambda: path.read_text().count("/v1/completions") == 2, 10, "two lines")
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        good, bad = [entry for entry in entries if entry["call"] == "/v1/completions"]
        generated = [entry for entry in entries if entry["call"] == "Generate"][0]
        assert (good["code"], bad["code"], generated["code"]) == ("200", "400", "OK")
        assert good["completion_tokens"] == generated["completion_tokens"] == 5
        assert good["prompt_tokens"] == generated["prompt_tokens"] > 0
        assert 0 <= generated["first_token_ms"] <= generated["ms"]
        assert generated["request_id"] == "mine" and generated["trace_id"] == "ab" * 16
        assert "secret" not in path.read_text()


def test_a_request_that_takes_too_long_is_ended(tmp_path):
    with Server(tmp_path / "log", request_timeout=1) as server, Client(server.grpc_port) as client:
        body = {"model": MODEL_NAME, "prompt": "x", "max_tokens": 16_000, "ignore_eos": True}
        status, answer = server.post("/v1/completions", body)
        assert status == 504 and "--request-timeout" in answer["error"]["message"]
        with pytest.raises(grpc.RpcError) as error:
            client.text(text="x", sampling={"max_tokens": 16_000, "ignore_eos": True})
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        server.wait_until_idle()
