"""What load generators send, field by field, and answers read as they read them: `vllm bench serve` and guidellm."""
import http.client
import json
import threading

import pytest
from harness import MODEL_NAME, SOCKET_LIMIT_S

NUM_CLIENTS = 16
PROMPT = "The tar command"
OUTPUT_LEN = 24


def post(server, path, body, headers=()):
    """A response whose body is still to be read."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOCKET_LIMIT_S)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **dict(headers)})
    return connection.getresponse()


def expected_text(server, path, body):
    """The same without streaming."""
    options = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    status, answer = server.post(path, options)
    assert status == 200, answer
    choice = answer["choices"][0]
    return (choice["text"] if "text" in choice else choice["message"]["content"]), answer["usage"]


# ---- vllm bench serve ----


def vllm_completion(prompt):
    return {
        "model": MODEL_NAME,
        "prompt": prompt,
        "repetition_penalty": 1.0,
        "max_tokens": OUTPUT_LEN,
        "logprobs": None,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
    }


def vllm_chat(prompt):
    return {
        "model": MODEL_NAME,
        "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        "max_completion_tokens": OUTPUT_LEN,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "temperature": 0.0,
    }


def vllm_messages(response):
    """Pieces as they come, stripped; a piece that is a whole event needs no blank line after it."""
    buffer = ""
    while piece := response.read1(65536):
        buffer += piece.strip().decode()
        while "\n\n" in buffer:
            message, buffer = buffer.split("\n\n", 1)
            yield message.strip()
        rest = buffer.removeprefix("data: ").strip()
        try:
            if rest and rest != "[DONE]":
                json.loads(rest)
        except json.JSONDecodeError:
            continue
        if rest:
            yield buffer.strip()
        buffer = ""
    assert not buffer


def vllm_run(server, path, body):
    """What the tool reports of one request: its text, the chunks that it times, usage."""
    response = post(server, path, body, {"x-request-id": "bench-0"})
    assert response.status == 200 and response.getheader("X-Request-Id") == "bench-0"
    text, chunks, usage, last = "", 0, None, ""
    for message in vllm_messages(response):
        last = message.removeprefix("data: ")
        if last == "[DONE]":
            continue
        data = json.loads(last)
        if choices := data.get("choices"):
            new = choices[0]["text"] if "text" in choices[0] else choices[0]["delta"].get("content")
            text += new or ""
            chunks += 1
        elif data.get("usage"):
            usage = data["usage"]
    assert last == "[DONE]"
    return text, chunks, usage


VLLM = {
    "completions of a text": ("/v1/completions", vllm_completion(PROMPT)),
    "completions of ids": ("/v1/completions", vllm_completion(list(range(100, 130)))),
    "chats": ("/v1/chat/completions", vllm_chat(PROMPT)),
}


@pytest.mark.parametrize("name", VLLM)
def test_vllm_bench_serve_reads_tokens_times_and_usage(server, name):
    path, body = VLLM[name]
    text, chunks, usage = vllm_run(server, path, body)
    whole, of_whole = expected_text(server, path, body)
    assert text == whole
    assert 2 <= chunks <= OUTPUT_LEN + 2  # a chat's first chunk is its role
    assert usage["completion_tokens"] == of_whole["completion_tokens"] == OUTPUT_LEN
    assert usage["prompt_tokens"] == of_whole["prompt_tokens"]


def test_vllm_bench_serve_with_many_clients(server):
    path, body = VLLM["completions of a text"]
    whole = expected_text(server, path, body)[0]
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(vllm_run(server, path, body)[0])) for _ in range(NUM_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [whole] * NUM_CLIENTS


def test_vllm_bench_serve_finds_the_model(server):
    model = json.loads(server.get("/v1/models"))["data"][0]
    assert model["id"] == model["root"] == MODEL_NAME


# ---- guidellm ----

GUIDELLM_STREAM = {
    "model": MODEL_NAME,
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    "ignore_eos": True,
    "temperature": 0,  # ours, so that the texts can be compared
}
GUIDELLM = {
    "completions": ("/v1/completions", {**GUIDELLM_STREAM, "max_tokens": OUTPUT_LEN, "prompt": PROMPT}),
    "chats": (
        "/v1/chat/completions",
        {
            **GUIDELLM_STREAM,
            "max_completion_tokens": OUTPUT_LEN,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": PROMPT}, {"type": "text", "text": "and gzip"}]},
            ],
        },
    ),
}


def lines_of(response):
    return [line.decode().rstrip("\r\n") for line in response]


@pytest.mark.parametrize("name", GUIDELLM)
def test_guidellm_reads_lines_and_the_usage_of_each(server, name):
    path, body = GUIDELLM[name]
    text, counts, last = "", [], ""
    for line in lines_of(post(server, path, body)):
        last = line or last
        if not line.startswith("data:") or line == "data: [DONE]":
            continue
        data = json.loads(line[len("data:") :].strip())
        choice = (data.get("choices") or [{}])[0]
        delta = choice.get("delta", {})
        text += choice.get("text") or delta.get("content") or ""
        assert delta.get("tool_calls", []) == []  # it goes through what is there, and cannot take a null
        if usage := data.get("usage"):
            counts.append(usage["completion_tokens"])
            assert usage["prompt_tokens"] > 0 and "cached_tokens" in usage["prompt_tokens_details"]
    assert last == "data: [DONE]"
    assert text == expected_text(server, path, body)[0]
    assert counts == sorted(counts) and counts[-1] == OUTPUT_LEN


def test_guidellm_reads_responses(server):
    body = {
        "model": MODEL_NAME,
        "stream": True,
        "max_output_tokens": OUTPUT_LEN,
        "ignore_eos": True,
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": PROMPT}]}],
    }
    events = [json.loads(line[5:]) for line in lines_of(post(server, "/v1/responses", body)) if line.startswith("data:")]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    final = events[-1]
    assert final["type"] in ("response.completed", "response.incomplete")
    assert final["response"]["usage"]["output_tokens"] == OUTPUT_LEN
    assert "".join(deltas) == final["response"]["output"][0]["content"][0]["text"]


def test_guidellm_finds_the_server_well_and_its_model(server):
    assert server.status("/health") == 200
    assert [model["id"] for model in json.loads(server.get("/v1/models"))["data"]] == [MODEL_NAME]
