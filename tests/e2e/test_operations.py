"""What an operator uses: health checks, reloading, the watchdog, the lines of status and of requests."""
import contextlib
import json
import re
import subprocess
import urllib.request

import grpc
import ptrace
import pytest
from grpc_client import SERVICE, Client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from harness import BINARY, MODEL_NAME, Server, free_port, stream_request, wait_for
from tls_server import TlsServer, make_certificate

ENGINE_THREAD = "sluice-engine"
BODY = {"model": MODEL_NAME, "prompt": "x", "max_tokens": 2}


def healthcheck(*arguments, **environment):
    command = [BINARY, "healthcheck", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30).returncode


def test_healthcheck_finds_the_server_as_serve_was_told(server):
    assert healthcheck("--port", server.port) == 0
    assert healthcheck("--live", SLUICE_PORT=str(server.port), SLUICE_HOST="0.0.0.0") == 0
    assert healthcheck("--port", free_port()) == 1
    assert healthcheck("--port", "none") == 2


def test_healthcheck_speaks_tls_where_the_server_does(tmp_path):
    make_certificate(tmp_path, "any name")
    files = {"ssl_certfile": tmp_path / "cert.pem", "ssl_keyfile": tmp_path / "key.pem"}
    config = tmp_path / "server.yaml"
    with TlsServer(tmp_path) as server:
        config.write_text("".join(f"{name}: {path}\n" for name, path in files.items()) + f"port: {server.port}\n")
        assert healthcheck("--config", config) == 0
        assert healthcheck(SLUICE_CONFIG=str(config)) == 0
        assert healthcheck("--port", server.port) == 1, "without TLS"
    assert healthcheck("--config", config) == 1, "nobody is there"
    with Server(tmp_path / "plain", port=server.port):
        assert healthcheck("--config", config) == 1, "a server without TLS"


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
        assert generated["parent_span_id"] == "cd" * 8 and len(generated["span_id"]) == 16
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


# ---- what the program says of itself ----


def say(*arguments, **environment):
    command = [BINARY, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout


def test_version_and_help(server):
    version, commit = re.fullmatch(r"sluice (\S+) \((\S+)\)\n", say("--version")).groups()
    assert json.loads(server.get("/version")) == {"version": version, "commit": commit}
    assert all(f"  {command} " in say("--help") for command in ("serve", "healthcheck", "client", "generate"))
    headings = re.findall(r"^(\S.*):$", say("serve", "--help"), re.M)
    assert {"Model", "Device", "KV cache", "Scheduler", "HTTP", "Security", "gRPC", "Request limits", "Log"} <= set(headings)


def test_print_config_tells_the_source_of_each_option(tmp_path):
    (tmp_path / "server.yaml").write_text("threads: 3\n")
    shown = say("serve", "--config", tmp_path / "server.yaml", "--port", 5, "--print-config", SLUICE_MAX_NUM_SEQS="7")
    found = dict(re.findall(r"^(\S+): .*# (.*)$", shown, re.M))
    expected = {"threads": "config file", "port": "command line", "max-num-seqs": "environment", "host": "default"}
    assert expected.items() <= found.items()


# ---- SIGHUP ----


def code_with(server, key):
    request = urllib.request.Request(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def reload(server, outcome):
    """Sends SIGHUP and waits until the log has one more line with `outcome`."""
    before = server.log().count(outcome)
    server.reload()
    wait_for(lambda: server.log().count(outcome) > before, 10, outcome)


def grpc_codes(server, key):
    """What a method of ours and reflection answer to `key`."""
    metadata = [("authorization", f"Bearer {key}")]
    codes = []
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        for ask in (
            lambda: channel.unary_unary(f"/{SERVICE}/GetServer")(b"", metadata=metadata, timeout=10),
            lambda: next(reflection(iter([asked]), metadata=metadata, timeout=10)),
        ):
            try:
                ask()
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)
    return codes


def test_sighup_takes_new_keys_and_drops_old_ones(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("old\n")
    with Server(tmp_path / "log", api_key_file=keys) as server:
        keys.write_text("new\n")
        assert (code_with(server, "old"), code_with(server, "new")) == (200, 401), "before the signal"
        reload(server, "reloaded keys")
        assert (code_with(server, "old"), code_with(server, "new")) == (401, 200)
        assert grpc_codes(server, "old") == ["UNAUTHENTICATED", "CANCELLED"]
        assert grpc_codes(server, "new") == ["OK", "OK"]
        for broken in ("", "two words\n"):
            keys.write_text(broken)
            reload(server, "everything stays as it is")
            assert (code_with(server, "x"), code_with(server, "new")) == (401, 200)


def test_sighup_reads_the_file_of_options_again(tmp_path):
    config = tmp_path / "server.yaml"
    config.write_text("log-level: info\nmax-num-seqs: 8\napi-key: [first]\n")
    with Server(tmp_path / "log", config=config) as server:
        config.write_text("log-level: debug\nmax-num-seqs: 9\napi-key: [second]\n")
        assert "GET /v1/models" not in server.log()
        reload(server, "reloaded keys")
        assert "wait for a restart: max-num-seqs\n" in server.log()
        assert (code_with(server, "first"), code_with(server, "second")) == (401, 200)
        wait_for(lambda: "GET /v1/models 200" in server.log(), 10, "a line of the level debug")
        config.write_text("log-level: loud\n")
        reload(server, "everything stays as it is: ")
        config.write_text("log-level: info\n")
        reload(server, "no key is left")
        assert (code_with(server, "none"), code_with(server, "second")) == (401, 200)


def test_sighup_keeps_running_streams_and_takes_a_new_certificate(tmp_path):
    make_certificate(tmp_path, "first")
    with TlsServer(tmp_path) as server:
        make_certificate(tmp_path, "second")
        server.reload()
        wait_for(lambda: "new connections get the new certificate" in server.log(), 10, "a word about it")
        assert server.status("/health/ready") == 200, "with the second certificate as the one authority"
    with Server(tmp_path / "plain") as server, contextlib.closing(server.connect()) as connection:
        connection.sendall(stream_request(max_tokens=300))
        connection.recv(1)
        reload(server, "reloaded keys")
        data = b""
        while more := connection.recv(65536):
            data += more
        assert b"data: [DONE]" in data


# ---- an engine that stands still ----


def grpc_serves(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        return check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5).status == 1


def start_work(server):
    """A connection on which a long answer is being written."""
    connection = server.connect()
    connection.sendall(stream_request(max_tokens=15_000))
    wait_for(lambda: server.metric("vllm:num_requests_running") == 1, 10, "a running request")
    return connection


def test_an_engine_that_stands_is_not_ready_until_it_moves_again(tmp_path):
    with Server(tmp_path / "log", stall_timeout=1) as server, contextlib.closing(start_work(server)):
        with ptrace.held(server, ENGINE_THREAD):
            wait_for(lambda: server.status("/health/ready") == 503, 10, "no longer ready")
            assert server.status("/health/live") == 200, "alive, so that it is not killed too early"
            wait_for(lambda: not grpc_serves(server), 10, "the same over gRPC")
            assert healthcheck("--port", server.port) == 1
        wait_for(lambda: server.status("/health/ready") == 200, 10, "ready again")


def test_the_watchdog_writes_the_state_and_ends_the_server_with_status_3(tmp_path):
    with Server(tmp_path / "log", stall_timeout=1, watchdog_timeout=2) as server:
        with contextlib.closing(start_work(server)), ptrace.held(server, ENGINE_THREAD) as thread:
            ptrace.reap(thread)
            assert server.wait() == 3
        last = server.log().splitlines()[-1]
        assert "the engine stands still" in last
        assert all(f"{word} " in last for word in ("running 1,", "waiting 0,", "steps", "last step", "KV blocks"))


def test_an_idle_engine_is_no_standing_one(tmp_path):
    with Server(tmp_path / "log", stall_timeout=1, watchdog_timeout=1) as server:
        with ptrace.held(server, ENGINE_THREAD), pytest.raises(AssertionError):
            wait_for(lambda: server.status("/health/ready") != 200, 3, "not ready")
        assert server.post("/v1/completions", BODY)[0] == 200
