"""Bad input gets a 4xx with a precise message, costs the engine nothing, and changes nobody else's output."""
import contextlib
import socket
import threading

import bad_requests
import pytest
from harness import SOCKET_LIMIT_S, read_response, request_bytes, stream_request, stream_text

BAD = bad_requests.table()


def oversize_request():
    head = request_bytes("POST", "/v1/completions", headers=[("Content-Length", str(256 << 20))])
    return head + b'{"model": "' + b"x" * 100_000


@pytest.fixture(scope="module")
def canary(server):
    """A stream that is asked for again and again while the module's tests run.

    Its text must always be what it is alone, and the engine must have computed no other prompt.
    """
    request = stream_request(prompt="The canary", max_tokens=600)
    running = threading.Event()
    enough = threading.Event()

    def sing():
        with contextlib.closing(server.connect()) as connection:
            connection.sendall(request)
            data = b""
            while more := connection.recv(65536):
                data += more
                running.set()
        return stream_text(data)

    def prompt_tokens():
        server.wait_until_idle()
        return server.metric("vllm:prompt_tokens_total")

    def repeat():
        while not enough.is_set():
            texts.append(sing())

    start = prompt_tokens()
    texts = [sing()]
    of_one = prompt_tokens() - start
    running.clear()
    thread = threading.Thread(target=repeat)
    thread.start()
    assert running.wait(SOCKET_LIMIT_S)
    yield
    enough.set()
    thread.join()
    assert len(set(texts)) == 1 and len(texts[0]) > 1000
    assert prompt_tokens() - start == len(texts) * of_one


def check_error(path, answer, param, words):
    """The answer is a whole error body of the path's protocol that names the field and says the words."""
    error = answer["error"]
    if path == bad_requests.MESSAGES:
        assert answer["type"] == "error" and set(error) == {"type", "message"}
    else:
        assert set(error) == {"message", "type", "param", "code"}
        assert error["param"] == param, error
    assert error["type"] in ("invalid_request_error", "not_found_error")
    for word in words:
        assert word in error["message"], error["message"]
    assert 0 < len(error["message"]) < 1000, "a message that is empty or repeats the input"


@pytest.mark.parametrize("name", BAD)
def test_is_refused_with_a_precise_message(server, canary, name):
    path, body, expected_status, param, words = BAD[name]
    status, answer = server.post(path, body)
    assert status == expected_status, answer
    check_error(path, answer, param, words)


def test_a_body_announced_as_256_mib_is_refused_before_it_comes(server, canary):
    assert server.exchange(oversize_request())[0] == 413


# ---- what is not even HTTP ----

HI = bad_requests.body_of(bad_requests.TEXT, {})


def headers(*lines, body=HI):
    """A POST of completions whose header has `lines` more."""
    return request_bytes("POST", "/v1/completions", headers=[line.split(": ", 1) for line in lines]) + body


def chunked(chunks):
    return headers("Transfer-Encoding: chunked", body=chunks)


# name: (bytes, status); None: half a request, to be dropped without an answer or with one
BAD_BYTES = {
    "no HTTP at all": (b"hello\r\n\r\n", 400),
    "TLS to a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 64, 400),
    "HTTP/2 by prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/9.9": (b"GET /health HTTP/9.9\r\n\r\n", 400),
    "two spaces in the request line": (b"GET  /health HTTP/1.1\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\n\r\n", 400),
    "a target cut in its percent": (request_bytes("GET", "/health%4"), 400),
    "a target with a wrong percent": (request_bytes("GET", "/health%zz"), 400),
    "a method of 10,000 letters": (b"G" * 10_000 + b" /health HTTP/1.1\r\n\r\n", 405),
    "a null byte in a header": (b"GET /health HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
    "a header without a colon": (b"GET /health HTTP/1.1\r\nnonsense\r\n\r\n", 400),
    "a space in a header's name": (b"GET /health HTTP/1.1\r\nX Y: z\r\n\r\n", 400),
    "a header without a name": (b"GET /health HTTP/1.1\r\n: z\r\n\r\n", 400),
    "a body shorter than its length, then the end": (request_bytes("POST", "/v1/completions", HI)[:-4], None),
    "a request line and nothing more": (b"POST /v1/completions HT", None),
    "headers without end": (b"GET /health HTTP/1.1\r\nX: y\r\n", None),
    "nothing": (b"", None),
    "a header of 100 KB": (request_bytes("GET", "/health", headers=[("X", "y" * 100_000)]), 431),
    "a target of 100 KB": (request_bytes("GET", "/" + "x" * 100_000), 431),
    "10,000 headers": (request_bytes("GET", "/health", headers=[(f"X{i}", "y") for i in range(10_000)]), 431),
    "a negative length": (headers("Content-Length: -1"), 400),
    "a length of 1e3": (headers("Content-Length: 1e3"), 400),
    "a length beyond 64 bits": (headers("Content-Length: 99999999999999999999999"), 400),
    "two lengths": (headers("Content-Length: 5", f"Content-Length: {len(HI)}"), 400),
    "a length and chunks": (headers("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    "a bad chunk size": (chunked(b"zz\r\n{}\r\n0\r\n\r\n"), 400),
    "a negative chunk size": (chunked(b"-2\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk size beyond 64 bits": (chunked(b"fffffffffffffffffffff\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk of 256 MiB": (chunked(b"10000000\r\n{}"), 413),
    "a chunk longer than its size": (chunked(b"1\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk extension of 100 KB": (chunked(b"2;x=" + b"y" * 100_000 + b"\r\n{}\r\n0\r\n\r\n"), 431),
    "chunks without end": (chunked(b"2\r\n{}\r\n"), None),
    "a form": (headers(f"Content-Length: {len(HI)}", "Content-Type: application/x-www-form-urlencoded"), 415),
    "plain text": (headers(f"Content-Length: {len(HI)}", "Content-Type: text/plain"), 415),
    "a file of a form": (headers(f"Content-Length: {len(HI)}", "Content-Type: multipart/form-data; boundary=x"), 415),
    "no path of ours": (request_bytes("POST", "/v1/complete", HI), 404),
    "a path above the root": (request_bytes("GET", "/../../etc/passwd"), 404),
    "a model that is not there": (request_bytes("GET", "/v1/models/gpt-17"), 404),
    "GET of completions": (request_bytes("GET", "/v1/completions"), 405),
    "DELETE of a chat": (request_bytes("DELETE", "/v1/chat/completions"), 405),
    "PUT of a model": (request_bytes("PUT", "/v1/models", HI), 405),
    "POST of the metrics": (request_bytes("POST", "/metrics", HI), 405),
    "BREW": (request_bytes("BREW", "/v1/completions"), 405),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_broken_http_is_refused_or_dropped(server, canary, name):
    data, expected_status = BAD_BYTES[name]
    with contextlib.closing(server.connect()) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        if expected_status is None:  # half a request: whatever it says, it must hang up
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
        else:
            assert read_response(connection)[0] == expected_status
    assert server.status("/health/ready") == 200
