"""Bad input gets a 4xx with a precise message, costs the engine nothing, and changes nobody else's output."""
import contextlib
import json
import socket
import threading

import pytest
from harness import MODEL_NAME, SOCKET_LIMIT_S, read_response, request_bytes, stream_request, stream_text

CHAT = {"model": MODEL_NAME, "messages": [{"role": "user", "content": "hi"}]}
TEXT = {"model": MODEL_NAME, "prompt": "hi"}
DEEP = 10_000


def chat(**change):
    return "/v1/chat/completions", json.dumps({**CHAT, **change}).encode()


def text(**change):
    return "/v1/completions", json.dumps({**TEXT, **change}).encode()


# name: (path and body, status, words of the message)
BAD = {
    "no JSON": (("/v1/completions", b"hello"), 400, ["JSON"]),
    "empty body": (("/v1/completions", b" "), 400, ["JSON"]),
    "cut JSON": (("/v1/completions", b'{"model": "sluice-tiny", "prompt": "hi'), 400, ["JSON"]),
    "bytes after the JSON": (("/v1/completions", b"{} {}"), 400, ["JSON"]),
    "an array": (("/v1/completions", b"[1, 2]"), 400, ["object"]),
    "10,000 brackets": (("/v1/completions", b"[" * DEEP + b"]" * DEEP), 400, ["64"]),
    "10,000 deep in a field": (("/v1/completions", b'{"prompt": ' * DEEP + b"1" + b"}" * DEEP), 400, ["64"]),
    "10,000 deep in an unknown field": (("/v1/completions", b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}"), 400, ["64"]),
    "a key twice": (("/v1/completions", b'{"model": "sluice-tiny", "prompt": "a", "prompt": "b"}'), 400, ["prompt"]),
    "invalid UTF-8": (("/v1/completions", b'{"model": "sluice-tiny", "prompt": "\xff\xfe"}'), 400, ["encoding", "byte 37"]),
    "half a surrogate": (("/v1/completions", b'{"model": "sluice-tiny", "prompt": "\\ud83d"}'), 400, []),
    "NaN": (("/v1/completions", b'{"model": "sluice-tiny", "prompt": "hi", "temperature": NaN}'), 400, []),
    "1e999": (("/v1/completions", b'{"model": "sluice-tiny", "prompt": "hi", "temperature": 1e999}'), 400, []),
    "unknown model": (text(model="gpt-17"), 404, ["gpt-17"]),
    "model of the wrong type": (text(model=7), 400, ["model"]),
    "no prompt": (("/v1/completions", b'{"model": "sluice-tiny"}'), 400, ["prompt"]),
    "empty prompt ids": (text(prompt=[]), 400, ["prompt"]),
    "id too large": (text(prompt=[1, 8192]), 400, ["8192"]),
    "negative id": (text(prompt=[1, -1]), 400, ["-1"]),
    "id beyond 64 bits": (text(prompt=[1, 2**70]), 400, []),
    "ids of two types": (text(prompt=[1, "a"]), 400, ["prompt"]),
    "prompt too long": (text(prompt=[5] * 16384), 400, ["16384"]),
    "prompt and output too long": (text(prompt=[5] * 16000, max_tokens=1000), 400, ["16384"]),
    "no messages": (("/v1/chat/completions", b'{"model": "sluice-tiny"}'), 400, ["messages"]),
    "empty messages": (chat(messages=[]), 400, ["messages"]),
    "message without role": (chat(messages=[{"content": "hi"}]), 400, ["role"]),
    "message content a number": (chat(messages=[{"role": "user", "content": 7}]), 400, ["content"]),
    "an image": (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]), 400,
                 ["image_url"]),
    "temperature negative": (chat(temperature=-0.1), 400, ["temperature"]),
    "temperature a text": (chat(temperature="hot"), 400, ["temperature", "hot"]),
    "top_p above 1": (chat(top_p=1.1), 400, ["top_p", "1.1"]),
    "top_p 0": (chat(top_p=0), 400, ["top_p"]),
    "top_k -2": (chat(top_k=-2), 400, ["top_k"]),
    "min_p 2": (chat(min_p=2), 400, ["min_p"]),
    "n 0": (chat(n=0), 400, ["n"]),
    "absurd n": (chat(n=1_000_000_000), 400, ["n"]),
    "n beyond 64 bits": (chat(n=2**70), 400, ["n"]),
    "max_tokens negative": (chat(max_tokens=-5), 400, ["max_tokens", "-5"]),
    "max_tokens 1.5": (chat(max_tokens=1.5), 400, ["max_tokens"]),
    "max_tokens absurd": (chat(max_tokens=10**15), 400, ["16384"]),
    "presence_penalty 3": (chat(presence_penalty=3), 400, ["presence_penalty"]),
    "repetition_penalty 0": (chat(repetition_penalty=0), 400, ["repetition_penalty"]),
    "stop too many": (chat(stop=["a"] * 1000), 400, ["stop"]),
    "stop empty": (chat(stop=[""]), 400, ["stop"]),
    "logit_bias of a foreign id": (chat(logit_bias={"99999": 1}), 400, ["99999"]),
    "logit_bias of no id": (chat(logit_bias={"grep": 1}), 400, ["grep"]),
    "top_logprobs without logprobs": (chat(top_logprobs=3), 400, ["logprobs"]),
    "top_logprobs 1000": (chat(logprobs=True, top_logprobs=1000), 400, ["top_logprobs"]),
    "seed a text": (chat(seed="x"), 400, ["seed"]),
    "stream a text": (chat(stream="yes"), 400, ["stream"]),
    "stop_token_ids out of range": (chat(stop_token_ids=[-4]), 400, ["stop_token_ids", "-4"]),
    "tools": (chat(tools=[{"type": "function", "function": {"name": "f"}}]), 400, ["tools"]),
    "response_format": (chat(response_format={"type": "json_object"}), 400, ["response_format"]),
    "256 MiB of body, announced": (None, 413, []),
    "detokenize of foreign ids": (("/detokenize", b'{"model": "sluice-tiny", "tokens": [99999]}'), 400, ["99999"]),
}


def oversize_request():
    head = request_bytes("POST", "/v1/completions", headers=[("Content-Length", str(256 << 20))])
    return head + b'{"model": "' + b"x" * 100_000


@pytest.fixture(scope="module")
def canary(server):
    """A stream that runs through the whole module; at the end its text must be what it is alone."""
    request = stream_request(prompt="The canary", max_tokens=3000)
    running = threading.Event()  # its prompt has been computed, and counted

    def read(results):
        with contextlib.closing(server.connect()) as connection:
            connection.sendall(request)
            data = b""
            while more := connection.recv(65536):
                data += more
                # The second token's step began after the counters of the first one were published.
                if not running.is_set() and data.count(b"data: ") > 1:
                    running.set()
        results.append(stream_text(data))

    results = []
    thread = threading.Thread(target=read, args=(results,))
    thread.start()
    assert running.wait(SOCKET_LIMIT_S)
    yield
    thread.join()
    read(results)
    assert len(results) == 2 and results[0] == results[1]
    assert len(results[0]) > 1000


@pytest.mark.parametrize("name", BAD)
def test_is_refused_with_a_precise_message(server, canary, name):
    target, expected_status, words = BAD[name]
    tokens = server.metric("vllm:prompt_tokens_total")
    status, answer = server.exchange(oversize_request()) if target is None else server.post(*target)
    assert status == expected_status, answer
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    for word in words:
        assert word in error["message"], error["message"]
    assert len(error["message"]) < 1000, "a message that repeats the input"
    assert server.metric("vllm:prompt_tokens_total") == tokens


# ---- what is not even HTTP ----

BAD_BYTES = {
    "no HTTP at all": (b"hello\r\n\r\n", 400),
    "a body shorter than its length, then the end": (request_bytes("POST", "/v1/completions", b'{"a": 1}')[:-4], None),
    "a request line and nothing more": (b"POST /v1/completions HT", None),
    "headers without end": (b"GET /health HTTP/1.1\r\nX: y\r\n", None),
    "a header of 100 KB": (request_bytes("GET", "/health", headers=[("X", "y" * 100_000)]), 431),
    "10,000 headers": (request_bytes("GET", "/health", headers=[(f"X{i}", "y") for i in range(10_000)]), 431),
    "a negative length": (request_bytes("POST", "/v1/completions", headers=[("Content-Length", "-1")]), 400),
    "two lengths": (request_bytes("POST", "/v1/completions", b"{}", headers=[("Content-Length", "5")]), 400),
    "a bad chunk size": (
        request_bytes("POST", "/v1/completions", headers=[("Transfer-Encoding", "chunked")]) + b"zz\r\n{}\r\n0\r\n\r\n",
        400,
    ),
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
