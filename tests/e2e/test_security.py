"""Keys before every route but health, TLS on both ports and new certificates, web pages of other origins."""
import contextlib
import json
import subprocess

import grpc
import pytest
from grpc_client import SERVICE, Client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import BINARY, MODEL_NAME, Server, read_response, request_bytes, wait_for
from tls_server import TlsServer, make_certificate

KEY, OTHER_KEY = "sk-alpha", "sk-beta"
RELOAD_LIMIT_S = 20
BODY = json.dumps({"model": MODEL_NAME, "prompt": "x", "max_tokens": 2}).encode()


def bearer(key):
    return [("Authorization", f"Bearer {key}")]


def fetch(server, method, path, headers=(), body=b""):
    """(status, head, body) of one request."""
    with contextlib.closing(server.connect()) as connection:
        connection.sendall(request_bytes(method, path, body, headers))
        return read_response(connection)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "keys").write_text(f"# of the second team\n{OTHER_KEY}\n\n")
    with Server(folder / "log", api_key=KEY, api_key_file=folder / "keys") as server:
        yield server


ROUTES = [
    ("GET", "/v1/models"),
    ("GET", f"/v1/models/{MODEL_NAME}"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/version"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
]


@pytest.mark.parametrize("method, path", ROUTES)
def test_every_http_route_asks_for_a_key(keyed, method, path):
    for headers in ([], bearer("wrong"), bearer(KEY[:-1]), bearer(KEY + "x"), [("Authorization", KEY)]):
        status, answer = fetch(keyed, method, path, headers, BODY if method == "POST" else b"")
        assert status == 401, (headers, answer)
    for key in (KEY, OTHER_KEY):
        assert fetch(keyed, method, path, bearer(key), BODY if method == "POST" else b"")[0] != 401


def test_health_is_open(keyed):
    assert [keyed.status(path) for path in ("/health", "/health/live", "/health/ready", "/ping")] == [200] * 4


def test_pages_are_open_and_hold_nothing_of_the_server(keyed):
    for path in ("/", "/docs"):
        status, page = fetch(keyed, "GET", path)
        assert status == 200 and MODEL_NAME not in page


def test_grpc_asks_for_a_key_too(keyed, server):
    with Client(keyed.grpc_port) as client, Client(server.grpc_port) as teacher:
        client.service = teacher.learn()  # reflection is guarded
        for method in ("Generate", "Cancel", "Tokenize", "Detokenize", "GetModel", "GetServer"):
            for key in ("", "wrong"):
                metadata = [("authorization", f"Bearer {key}")] if key else []
                with pytest.raises(grpc.RpcError) as error:
                    answer = client.call(method, client.message(method), metadata=metadata)
                    list(answer if method == "Generate" else [answer])
                assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert client.GetModel(metadata=[("authorization", f"Bearer {KEY}")]).names == [MODEL_NAME]
        check = health_pb2_grpc.HealthStub(client.channel).Check
        # It follows readiness a moment later.
        wait_for(lambda: check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10).status == 1, 5, "health, without a key")


def test_reflection_asks_for_a_key_too(keyed):
    with Client(keyed.grpc_port) as client:
        with pytest.raises(grpc.RpcError) as error:
            client.learn()
        assert error.value.code() == grpc.StatusCode.CANCELLED


def test_the_environment_gives_a_key_and_nothing_shows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUICE_API_KEY", KEY)
    with Server(tmp_path / "log") as server:
        assert server.status("/v1/models") == 401
        assert fetch(server, "GET", "/v1/models", bearer(KEY))[0] == 200
        target = f"127.0.0.1:{server.grpc_port}"
        subprocess.run([BINARY, "client", "x", "--server", target, "--max-tokens", "2"], check=True)
        assert KEY not in server.log()
    shown = subprocess.run([BINARY, "serve", "--print-config"], capture_output=True, text=True, check=True).stdout
    assert "api-key: (not shown)" in shown and KEY not in shown
    monkeypatch.setenv("SLUICE_API_KEY", "")
    assert subprocess.run([BINARY, "serve", "--port", "0"], capture_output=True).returncode != 0


# ---- TLS ----


@pytest.fixture
def tls(tmp_path):
    make_certificate(tmp_path, "first")
    with TlsServer(tmp_path) as server:
        yield server


def test_tls_on_both_ports(tls):
    status, answer = tls.ask("/v1/completions", BODY)
    assert status == 200 and json.loads(answer)["choices"]
    stream = json.dumps({"model": MODEL_NAME, "prompt": "x", "max_tokens": 300, "stream": True}).encode()
    assert tls.ask("/v1/completions", stream)[1].rstrip().endswith(b"[DONE]")
    assert tls.grpc_trusts()
    command = [BINARY, "client", "x", "--server", f"127.0.0.1:{tls.grpc_port}", "--max-tokens", "2"]
    subprocess.run([*command, "--ssl-ca-certs", tls.certificate], check=True)
    assert subprocess.run([*command, "--timeout", "2"], capture_output=True).returncode != 0, "without TLS"


def test_clients_that_do_not_speak_tls_are_dropped(tls):
    for data in (request_bytes("GET", "/health"), b"\x16\x03\x01", b""):
        with contextlib.closing(tls.connect()) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
                connection.shutdown(1)
                while more := connection.recv(4096):
                    assert b"HTTP/1.1 200" not in more
    assert tls.status("/health/ready") == 200


def test_a_new_certificate_is_taken_while_serving(tls, tmp_path):
    make_certificate(tmp_path, "second")
    wait_for(lambda: tls.status("/health/ready") == 200, RELOAD_LIMIT_S, "the new certificate over HTTP")
    wait_for(tls.grpc_trusts, RELOAD_LIMIT_S, "the new certificate over gRPC")
    good = tls.certificate.read_bytes()
    (tmp_path / "cert.pem").write_text("no certificate")
    wait_for(lambda: "the last certificate stays" in tls.log(), RELOAD_LIMIT_S, "a word about the broken file")
    (tmp_path / "good.pem").write_bytes(good)
    tls.certificate = tmp_path / "good.pem"
    assert tls.status("/health/ready") == 200
    (tmp_path / "cert.pem").write_bytes(good)
    wait_for(tls.grpc_trusts, RELOAD_LIMIT_S, "the good certificate over gRPC")


def test_half_a_pair_or_a_broken_one_ends_the_start(tmp_path):
    make_certificate(tmp_path, "x")
    for options in (
        {"ssl_certfile": tmp_path / "cert.pem"},
        {"ssl_certfile": tmp_path / "none.pem", "ssl_keyfile": tmp_path / "key.pem"},
        {"ssl_certfile": tmp_path / "cert.pem", "ssl_keyfile": tmp_path / "cert.pem"},
    ):
        server = Server(tmp_path / "log", **options)
        assert server.wait() != 0
        assert "ssl-" in server.log()


# ---- other origins ----


def head(server, method, path, headers):
    with contextlib.closing(server.connect()) as connection:
        connection.sendall(request_bytes(method, path, headers=headers))
        return connection.recv(65536).decode().partition("\r\n\r\n")[0].lower()


def test_only_listed_origins_may_read_answers(tmp_path, server):
    mine, other = "https://chat.example.com", "https://evil.example.com"
    with Server(tmp_path / "log", allowed_origins=mine) as listed:
        allowed = head(listed, "GET", "/v1/models", [("Origin", mine)])
        assert f"access-control-allow-origin: {mine}" in allowed and "vary: origin" in allowed
        assert "access-control" not in head(listed, "GET", "/v1/models", [("Origin", other)])
        preflight = head(listed, "OPTIONS", "/v1/chat/completions", [("Origin", mine)])
        assert " 204 " in preflight.splitlines()[0] and "access-control-allow-headers: authorization" in preflight
    assert "access-control" not in head(server, "GET", "/v1/models", [("Origin", mine)])
