"""What an operator uses: the health check of containers, the line of status."""
import subprocess

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
