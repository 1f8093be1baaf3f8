"""Answers of a form: every one fits, whatever else is asked for, and what could not be enforced is refused."""
import concurrent.futures
import json
import re
import time

import grpc
import jsonschema_rs
import openai
import pytest
from grpc_client import Client
from harness import MODEL_NAME

QUESTION = [{"role": "user", "content": "What does the grep command do?"}]
COMMAND = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "section": {"type": "integer", "minimum": 1, "maximum": 8},
        "flags": {"type": "array", "items": {"type": "string", "pattern": "^-[a-z]$"}, "maxItems": 3},
        "kind": {"$ref": "#/$defs/kind"},
        "id": {"anyOf": [{"type": "null"}, {"type": "string", "format": "uuid"}]},
    },
    "required": ["name", "section", "flags", "kind", "id"],
    "additionalProperties": False,
    "$defs": {"kind": {"enum": ["builtin", "program", "größer"]}},
}
STRICT = {"type": "json_schema", "json_schema": {"name": "command", "strict": True, "schema": COMMAND}}
ARITHMETIC = 'root ::= term (("+" | "-") term){0,3}\nterm ::= [0-9]{1,3} | "(" root ")"'
RANDOM = {"model": MODEL_NAME, "temperature": 1.5}


def fits(text, schema=COMMAND):
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(json.loads(text))


def test_a_strict_schema_holds_at_any_temperature(client):
    for seed in range(8):
        chat = client.chat.completions.create(
            messages=QUESTION, response_format=STRICT, max_tokens=300, seed=seed, n=2, **RANDOM
        )
        for choice in chat.choices:
            assert choice.finish_reason == "stop", choice
            assert fits(choice.message.content), choice.message.content


def test_a_stream_is_the_same_text_in_pieces(client):
    ask = {"messages": QUESTION, "response_format": STRICT, "max_tokens": 300, "seed": 3, **RANDOM}
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(stream=True, **ask))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_json_object_is_an_object(client):
    for seed in range(4):
        chat = client.chat.completions.create(
            messages=QUESTION, response_format={"type": "json_object"}, max_tokens=200, seed=seed, **RANDOM
        )
        choice = chat.choices[0]
        assert choice.message.content.startswith("{")
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict)


@pytest.mark.parametrize("spelling", ["structured_outputs", "guided"])
def test_vllms_forms(client, spelling):
    def ask(name, value, **more):
        body = {"structured_outputs": {name: value}} if spelling == "structured_outputs" else {f"guided_{name}": value}
        answer = client.completions.create(prompt="The", extra_body=body, **{"max_tokens": 100, **RANDOM, **more})
        assert answer.choices[0].finish_reason == "stop"
        return answer.choices[0].text

    for seed in range(4):
        assert re.fullmatch(r"[A-Z]{2}-[0-9]{1,4}(x|yz)?", ask("regex", "[A-Z]{2}-[0-9]{1,4}(x|yz)?", seed=seed))
        assert ask("choice", ["yes", "no way", "größer"], seed=seed) in ("yes", "no way", "größer")
        assert re.fullmatch(r"[0-9+()-]+", ask("grammar", ARITHMETIC, seed=seed))
        assert fits(ask("json", COMMAND, seed=seed, max_tokens=300))


def test_logprobs_bias_stops_and_lengths_work_under_a_mask(client):
    ask = {"prompt": "The", "extra_body": {"structured_outputs": {"regex": "[ab]{30,40}c"}}, **RANDOM}
    scored = client.completions.create(max_tokens=60, logprobs=3, **ask).choices[0]
    assert len(scored.logprobs.tokens) == len(scored.logprobs.token_logprobs) > 0
    assert all(value <= 0 for value in scored.logprobs.token_logprobs)
    assert "".join(scored.logprobs.tokens).startswith(scored.text)
    cut = client.completions.create(max_tokens=2, **ask).choices[0]
    assert cut.finish_reason == "length"
    stopped = client.completions.create(max_tokens=60, stop=["c"], **ask).choices[0]
    assert stopped.finish_reason == "stop" and re.fullmatch("[ab]*", stopped.text)
    ask["extra_body"] = {**ask["extra_body"], "min_tokens": 50, "ignore_eos": True, "repetition_penalty": 1.3}
    ended = client.completions.create(max_tokens=60, **ask).choices[0]
    assert ended.finish_reason == "stop" and re.fullmatch("[ab]{30,40}c", ended.text)


def test_seeds_repeat_beside_other_work(client):
    ask = {"messages": QUESTION, "response_format": STRICT, "max_tokens": 300, **RANDOM}

    def answer(seed):
        return client.chat.completions.create(seed=seed, **ask).choices[0].message.content

    alone = [answer(seed) for seed in range(3)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        free = [
            pool.submit(client.completions.create, prompt="The", max_tokens=40, extra_body={"ignore_eos": True}, **RANDOM)
            for _ in range(4)
        ]
        assert list(pool.map(answer, [0, 1, 2] * 3)) == alone * 3
        assert all(one.result().usage.completion_tokens == 40 for one in free)


def test_responses_api_takes_a_schema(client):
    response = client.responses.create(
        model=MODEL_NAME,
        input="What does grep do?",
        max_output_tokens=300,
        text={"format": {"type": "json_schema", "name": "command", "strict": True, "schema": COMMAND}},
    )
    assert fits(response.output_text), response.output_text


DEEP = {"type": "null"}
for _ in range(70):
    DEEP = {"type": "array", "items": DEEP}
HOSTILE = {
    "a keyword that is not enforced": ({"json": {"not": {}}}, "not"),
    "a foreign reference": ({"json": {"$ref": "https://example.com/schema"}}, "refers to"),
    "a word beside another": ({"json": {"type": "object", "anyOf": [{}]}}, "anyOf"),
    "a required unknown": ({"json": {"type": "object", "required": ["a"]}}, "requires"),
    "too many values": ({"json": {"enum": list(range(20000))}}, ""),
    "too deep": ({"json": DEEP}, ""),
    "a long schema": ({"json": {"const": "a" * 70000}}, "65536"),
    "groups in groups": ({"regex": "(" * 4000 + ")" * 4000}, "deep"),
    "a long regex": ({"regex": "a" * 20000}, "8192"),
    "lookahead": ({"regex": "a(?=b)c"}, "lookahead"),
    "half a regex": ({"regex": "a(b"}, "regex"),
    "no root": ({"grammar": 'start ::= "a"'}, "root"),
    "no grammar": ({"grammar": "root ::= ((("}, "grammar"),
    "two forms": ({"regex": "a", "choice": ["b"]}, "one"),
    "no choice": ({"choice": []}, "choice"),
    "a tag": ({"structural_tag": "{}"}, "structural_tag"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_enforced_is_refused_soon(client, name):
    form, word = HOSTILE[name]
    for stream in (False, True):
        began = time.monotonic()
        with pytest.raises(openai.BadRequestError) as refused:
            client.completions.create(
                model=MODEL_NAME, prompt="x", stream=stream, extra_body={"structured_outputs": form}
            )
        assert time.monotonic() - began < 30
        message = refused.value.body["message"]
        assert word in message
        assert ".cc" not in message and "xgrammar" not in message.lower()
    served = client.completions.create(model=MODEL_NAME, prompt="The", max_tokens=2, temperature=0)
    assert served.usage.completion_tokens == 2


def test_grpc_has_the_same_forms(server):
    with Client(server.grpc_port) as rpc:
        form = {"json_schema": json.dumps(COMMAND)}
        text = rpc.text(text="The", sampling={"max_tokens": 300, "seed": 1}, structured_output=form)
        assert fits(text), text
        with pytest.raises(grpc.RpcError) as refused:
            rpc.text(text="The", sampling={"max_tokens": 4}, structured_output={"json_schema": '{"not":{}}'})
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "not" in refused.value.details()
