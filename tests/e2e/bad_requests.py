"""What clients send by mistake or malice, over HTTP: a table of requests, and what each must be told.

    name: (path, body, status, param, words of the message)

A body is bytes as they are, or fields that replace those of a good request for the path. `param` is what error.param
must be; Anthropic's errors have none.
"""
import json

MODEL = "sluice-tiny"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
MESSAGE = {"role": "user", "content": "hi"}
GOOD = {
    CHAT: {"model": MODEL, "messages": [MESSAGE]},
    TEXT: {"model": MODEL, "prompt": "hi"},
    RESPONSES: {"model": MODEL, "input": "hi"},
    MESSAGES: {"model": MODEL, "max_tokens": 5, "messages": [MESSAGE]},
    "/tokenize": {"model": MODEL, "prompt": "hi"},
    "/detokenize": {"model": MODEL, "tokens": [5]},
}
ABSENT = object()  # the field is left out
DEEP = 10_000


def body_of(path, change):
    fields = {**GOOD[path], **change}
    return json.dumps({name: value for name, value in fields.items() if value is not ABSENT}).encode()


def message(**change):
    return {"messages": [{**MESSAGE, **change}]}


def part(**fields):
    return message(content=[fields])


# ---- bytes that are no JSON, or JSON of a kind that is refused ----

GOOD_BYTES = body_of(TEXT, {})
RAW = {
    "no JSON": (b"hello", ["JSON"]),
    "only blanks": (b" ", ["JSON"]),
    "a null byte": (b"\x00", ["JSON"]),
    "UTF-16": (GOOD_BYTES.decode().encode("utf-16"), []),
    "cut JSON": (GOOD_BYTES[:-4], ["JSON"]),
    "bytes after the JSON": (b"{} {}", ["JSON"]),
    "an array": (b"[1, 2]", ["object"]),
    "a text": (b'"hi"', ["object"]),
    "a number": (b"7", ["object"]),
    "null": (b"null", ["object"]),
    "true": (b"true", ["object"]),
    "a comma too many": (b'{"model": "sluice-tiny",}', ["JSON"]),
    "a comma too few": (b'{"model": "sluice-tiny" "prompt": "hi"}', ["JSON"]),
    "single quotes": (b"{'prompt': 'hi'}", ["JSON"]),
    "no quotes": (b'{prompt: "hi"}', ["JSON"]),
    "a comment": (b'{/* hi */ "prompt": "hi"}', ["JSON"]),
    "a line break in a text": (b'{"prompt": "a\nb"}', ["JSON"]),
    "an unknown escape": (b'{"prompt": "\\x41"}', ["JSON"]),
    "a short unicode escape": (b'{"prompt": "\\u12"}', ["JSON"]),
    "half a surrogate": (b'{"model": "sluice-tiny", "prompt": "\\ud83d"}', []),
    "the other half": (b'{"model": "sluice-tiny", "prompt": "\\ude00"}', []),
    "invalid UTF-8": (b'{"model": "sluice-tiny", "prompt": "\xff\xfe"}', ["encoding", "byte 37"]),
    "overlong UTF-8": (b'{"model": "sluice-tiny", "prompt": "\xc0\xaf"}', ["encoding"]),
    "a surrogate in UTF-8": (b'{"model": "sluice-tiny", "prompt": "\xed\xa0\x80"}', ["encoding"]),
    "NaN": (b'{"model": "sluice-tiny", "prompt": "hi", "temperature": NaN}', []),
    "Infinity": (b'{"model": "sluice-tiny", "prompt": "hi", "temperature": Infinity}', []),
    "1e999": (b'{"model": "sluice-tiny", "prompt": "hi", "temperature": 1e999}', []),
    "a hexadecimal number": (b'{"model": "sluice-tiny", "prompt": "hi", "n": 0x1}', []),
    "a leading zero": (b'{"model": "sluice-tiny", "prompt": "hi", "n": 01}', []),
    "a plus sign": (b'{"model": "sluice-tiny", "prompt": "hi", "n": +1}', []),
    "an id beyond 64 bits": (b'{"model": "sluice-tiny", "prompt": [1, 1180591620717411303424]}', ["64"]),
    "n beyond 64 bits": (b'{"model": "sluice-tiny", "prompt": "hi", "n": 1180591620717411303424}', ["64"]),
    "a key twice": (b'{"model": "sluice-tiny", "prompt": "a", "prompt": "b"}', ["prompt"]),
    "10,000 brackets": (b"[" * DEEP + b"]" * DEEP, ["64"]),
    "10,000 open brackets": (b"[" * DEEP, ["64"]),
    "10,000 deep in a field": (b'{"prompt": ' * DEEP + b"1" + b"}" * DEEP, ["64"]),
    "10,000 deep in an unknown field": (b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}", ["64"]),
}

# ---- values of the wrong type, in fields that the four generating bodies share ----

WRONG_TYPES = {
    "model": 7,
    "temperature": "hot",
    "top_p": [0.5],
    "top_k": "few",
    "min_p": {},
    "presence_penalty": "1",
    "frequency_penalty": True,
    "repetition_penalty": "none",
    "min_tokens": "few",
    "ignore_eos": "yes",
    "seed": "x",
    "stream": "yes",
    "logit_bias": [[5, 1]],
    "stop_token_ids": "5",
    "cache_salt": 5,
    "priority": "high",
    "skip_special_tokens": 1,
}

# ---- wrong values: (path, change, param, words) ----

VALUES = {
    "no prompt": (TEXT, {"prompt": ABSENT}, "prompt", []),
    "prompt null": (TEXT, {"prompt": None}, "prompt", []),
    "prompt a number": (TEXT, {"prompt": 5}, "prompt", ["5"]),
    "prompt an object": (TEXT, {"prompt": {"text": "hi"}}, "prompt", []),
    "no prompts": (TEXT, {"prompt": []}, "prompt", []),
    "an empty prompt of ids": (TEXT, {"prompt": [[]]}, "prompt", []),
    "300 prompts": (TEXT, {"prompt": ["a"] * 300}, "prompt", ["300", "256"]),
    "prompts of two kinds": (TEXT, {"prompt": ["a", 1]}, "prompt[1]", []),
    "ids of two types": (TEXT, {"prompt": [1, "a"]}, "prompt[1]", []),
    "an id of 1.5": (TEXT, {"prompt": [1, 1.5]}, "prompt[1]", ["1.5"]),
    "an id too large": (TEXT, {"prompt": [1, 8192]}, "prompt", ["8192"]),
    "a negative id": (TEXT, {"prompt": [1, -1]}, "prompt[1]", ["-1"]),
    "nested ids": (TEXT, {"prompt": [[[1]]]}, "prompt[0][0]", []),
    "a prompt too long": (TEXT, {"prompt": [5] * 16384}, "prompt", ["16384"]),
    "prompt and output too long": (TEXT, {"prompt": [5] * 16000, "max_tokens": 1000}, "prompt", ["16384"]),
    "echo a text": (TEXT, {"echo": "yes"}, "echo", []),
    "logprobs -1": (TEXT, {"logprobs": -1}, "logprobs", ["-1"]),
    "logprobs 21": (TEXT, {"logprobs": 21}, "logprobs", ["21", "20"]),
    "logprobs true": (TEXT, {"logprobs": True}, "logprobs", []),
    "best_of 2": (TEXT, {"best_of": 2}, "best_of", ["2"]),
    "a suffix": (TEXT, {"suffix": "end"}, "suffix", []),
    "prompt embeddings": (TEXT, {"prompt_embeds": "AAAA"}, "prompt_embeds", []),
    "max_tokens 0 without echo": (TEXT, {"max_tokens": 0}, "max_tokens", ["0"]),
    "no messages": (CHAT, {"messages": ABSENT}, "messages", []),
    "empty messages": (CHAT, {"messages": []}, "messages", []),
    "messages a text": (CHAT, {"messages": "hi"}, "messages", ["hi"]),
    "a message that is a text": (CHAT, {"messages": ["hi"]}, "messages[0]", []),
    "no role": (CHAT, {"messages": [{"content": "hi"}]}, "messages[0].role", []),
    "a role that is a number": (CHAT, message(role=1), "messages[0].role", ["1"]),
    "the role function": (CHAT, message(role="function", name="f"), "messages[0].role", ["function"]),
    "no content": (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content", []),
    "content a number": (CHAT, message(content=7), "messages[0].content", ["7"]),
    "content an object": (CHAT, message(content={"text": "hi"}), "messages[0].content", []),
    "a part that is a text": (CHAT, message(content=["hi"]), "messages[0].content[0]", []),
    "a part without a type": (CHAT, part(text="hi"), "messages[0].content[0].type", []),
    "a part without its text": (CHAT, part(type="text"), "messages[0].content[0].text", []),
    "an image": (CHAT, part(type="image_url", image_url={"url": "x"}), "messages[0].content[0].type", ["image_url"]),
    "a sound": (CHAT, part(type="input_audio", input_audio={}), "messages[0].content[0].type", ["input_audio"]),
    "a name that is a number": (CHAT, message(name=5), "messages[0].name", ["5"]),
    "tool_calls a text": (CHAT, message(role="assistant", tool_calls="f()"), "messages[0].tool_calls", []),
    "5,000 messages": (CHAT, {"messages": [MESSAGE] * 5000}, "messages", ["5000", "4096"]),
    "temperature negative": (CHAT, {"temperature": -0.1}, "temperature", ["-0.1"]),
    "temperature 1e30": (CHAT, {"temperature": 1e30}, "temperature", []),
    "temperature beyond float32": (CHAT, {"temperature": 1e300}, "temperature", []),
    "top_p above 1": (CHAT, {"top_p": 1.1}, "top_p", ["1.1"]),
    "top_p 0": (CHAT, {"top_p": 0}, "top_p", ["0"]),
    "top_p negative": (CHAT, {"top_p": -0.5}, "top_p", ["-0.5"]),
    "top_k -2": (CHAT, {"top_k": -2}, "top_k", ["-2"]),
    "top_k 1.5": (CHAT, {"top_k": 1.5}, "top_k", ["1.5"]),
    "top_k beyond 32 bits": (CHAT, {"top_k": 2**40}, "top_k", []),
    "min_p 2": (CHAT, {"min_p": 2}, "min_p", ["2"]),
    "min_p negative": (CHAT, {"min_p": -0.1}, "min_p", ["-0.1"]),
    "n 0": (CHAT, {"n": 0}, "n", ["0"]),
    "n negative": (CHAT, {"n": -1}, "n", ["-1"]),
    "n 129": (CHAT, {"n": 129}, "n", ["129", "128"]),
    "n absurd": (CHAT, {"n": 1_000_000_000}, "n", ["128"]),
    "n a text": (CHAT, {"n": "2"}, "n", []),
    "n times max_tokens": (TEXT, {"n": 128, "max_tokens": 16000}, "max_tokens", ["1048576"]),
    "max_tokens 0": (CHAT, {"max_tokens": 0}, "max_tokens", ["0"]),
    "max_tokens negative": (CHAT, {"max_tokens": -5}, "max_tokens", ["-5"]),
    "max_tokens 1.5": (CHAT, {"max_tokens": 1.5}, "max_tokens", ["1.5"]),
    "max_tokens absurd": (CHAT, {"max_tokens": 10**15}, "messages", ["16384"]),
    "max_tokens a text": (CHAT, {"max_tokens": "16"}, "max_tokens", []),
    "max_completion_tokens negative": (CHAT, {"max_completion_tokens": -1}, "max_tokens", ["-1"]),
    "max_completion_tokens a list": (CHAT, {"max_completion_tokens": [1]}, "max_completion_tokens", []),
    "min_tokens negative": (CHAT, {"min_tokens": -1}, "min_tokens", ["-1"]),
    "min_tokens above max_tokens": (CHAT, {"min_tokens": 9, "max_tokens": 5}, "min_tokens", ["9", "5"]),
    "presence_penalty 3": (CHAT, {"presence_penalty": 3}, "presence_penalty", ["3"]),
    "frequency_penalty -3": (CHAT, {"frequency_penalty": -3}, "frequency_penalty", ["-3"]),
    "repetition_penalty 0": (CHAT, {"repetition_penalty": 0}, "repetition_penalty", ["0"]),
    "repetition_penalty negative": (CHAT, {"repetition_penalty": -1}, "repetition_penalty", ["-1"]),
    "stop a number": (CHAT, {"stop": 5}, "stop", ["5"]),
    "stop holds a number": (CHAT, {"stop": ["a", 5]}, "stop[1]", ["5"]),
    "1,000 stops": (CHAT, {"stop": ["a"] * 1000}, "stop", ["1000", "16"]),
    "an empty stop": (CHAT, {"stop": [""]}, "stop", ["empty"]),
    "a long stop": (CHAT, {"stop": "a" * 1000}, "stop", ["1000", "256"]),
    "bias of a foreign id": (CHAT, {"logit_bias": {"99999": 1}}, "logit_bias", ["99999"]),
    "bias of no id": (CHAT, {"logit_bias": {"grep": 1}}, "logit_bias", ["grep"]),
    "bias of a negative id": (CHAT, {"logit_bias": {"-5": 1}}, "logit_bias", ["-5"]),
    "bias 101": (CHAT, {"logit_bias": {"5": 101}}, "logit_bias", ["101", "100"]),
    "bias null": (CHAT, {"logit_bias": {"5": None}}, "logit_bias.5", []),
    "2,000 biases": (CHAT, {"logit_bias": {str(i): 1 for i in range(2000)}}, "logit_bias", ["2000", "1024"]),
    "top_logprobs without logprobs": (CHAT, {"top_logprobs": 3}, "top_logprobs", ["logprobs"]),
    "top_logprobs 1000": (CHAT, {"logprobs": True, "top_logprobs": 1000}, "top_logprobs", ["1000", "20"]),
    "top_logprobs -1": (CHAT, {"logprobs": True, "top_logprobs": -1}, "top_logprobs", ["-1"]),
    "logprobs a count in a chat": (CHAT, {"logprobs": 5}, "logprobs", ["5"]),
    "prompt_logprobs 21": (CHAT, {"prompt_logprobs": 21}, "prompt_logprobs", ["21"]),
    "prompt_logprobs of a stream": (CHAT, {"prompt_logprobs": 1, "stream": True}, "prompt_logprobs", ["stream"]),
    "seed 1.5": (CHAT, {"seed": 1.5}, "seed", ["1.5"]),
    "stream_options without stream": (CHAT, {"stream_options": {"include_usage": True}}, "stream_options", ["stream"]),
    "stream_options a flag": (CHAT, {"stream": True, "stream_options": True}, "stream_options", []),
    "include_usage a text": (CHAT, {"stream": True, "stream_options": {"include_usage": "y"}},
                             "stream_options.include_usage", []),
    "a negative stop id": (CHAT, {"stop_token_ids": [-4]}, "stop_token_ids[0]", ["-4"]),
    "a foreign stop id": (CHAT, {"stop_token_ids": [99999]}, "stop_token_ids", ["99999"]),
    "1,000 stop ids": (CHAT, {"stop_token_ids": [4] * 1000}, "stop_token_ids", ["1000", "128"]),
    "a foreign allowed id": (CHAT, {"allowed_token_ids": [99999]}, "allowed_token_ids", ["99999"]),
    "a foreign banned id": (CHAT, {"banned_token_ids": [99999]}, "banned_token_ids", ["99999"]),
    "a long salt": (CHAT, {"cache_salt": "a" * 10_000}, "cache_salt", ["10000"]),
    "priority beyond 32 bits": (CHAT, {"priority": 2**40}, "priority", []),
    "sparse attention": (CHAT, {"attention": "moa"}, "attention", ["moa", "dense"]),
    "attention a number": (CHAT, {"attention": 5}, "attention", []),
    "a compressed cache": (CHAT, {"kv_cache": "minicache"}, "kv_cache", ["minicache", "exact"]),
    "sound wanted": (CHAT, {"modalities": ["text", "audio"]}, "modalities", []),
    "functions": (CHAT, {"functions": [{"name": "f"}]}, "functions", []),
    "a template of the client's": (CHAT, {"chat_template": "{{ messages }}"}, "chat_template", []),
    "template variables a text": (CHAT, {"chat_template_kwargs": "x"}, "chat_template_kwargs", []),
    "response_format a text": (CHAT, {"response_format": "json"}, "response_format", []),
    "an unknown response_format": (CHAT, {"response_format": {"type": "xml"}}, "response_format", ["xml"]),
    "tools a text": (CHAT, {"tools": "f"}, "tools", []),
    "a tool that is a text": (CHAT, {"tools": ["f"]}, "tools[0]", []),
    "beam search": (TEXT, {"use_beam_search": True}, "use_beam_search", []),
    "logits processors": (CHAT, {"logits_processors": ["x"]}, "logits_processors", []),
    "no input": (RESPONSES, {"input": ABSENT}, "input", []),
    "input a number": (RESPONSES, {"input": 5}, "input", ["5"]),
    "an earlier response": (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id", []),
    "instructions a list": (RESPONSES, {"instructions": ["x"]}, "instructions", []),
    "max_output_tokens negative": (RESPONSES, {"max_output_tokens": -1}, "max_tokens", ["-1"]),
    "a background response": (RESPONSES, {"background": True}, "background", []),
    "no max_tokens": (MESSAGES, {"max_tokens": ABSENT}, None, ["max_tokens"]),
    "a turn of nobody": (MESSAGES, message(role="narrator"), None, ["role", "narrator"]),
    "system a number": (MESSAGES, {"system": 5}, None, ["system"]),
    "stop_sequences a number": (MESSAGES, {"stop_sequences": 5}, None, ["stop_sequences"]),
    "nothing to tokenize": ("/tokenize", {"prompt": ABSENT}, "prompt", []),
    "tokenize a number": ("/tokenize", {"prompt": 5}, "prompt", ["5"]),
    "nothing to detokenize": ("/detokenize", {"tokens": ABSENT}, "tokens", []),
    "detokenize a text": ("/detokenize", {"tokens": "hi"}, "tokens", ["hi"]),
    "detokenize foreign ids": ("/detokenize", {"tokens": [99999]}, "tokens", ["99999"]),
    "detokenize negative ids": ("/detokenize", {"tokens": [-1]}, "tokens[0]", ["-1"]),
}


def table():
    rows = {name: (TEXT, body, 400, None, words) for name, (body, words) in RAW.items()}
    for path in (CHAT, TEXT, RESPONSES, MESSAGES):
        for field, value in WRONG_TYPES.items():
            rows[f"{path}: {field} of the wrong type"] = (path, body_of(path, {field: value}), 400, field, [field])
        rows[f"{path}: an unknown model"] = (path, body_of(path, {"model": "gpt-17"}), 404, "model", ["gpt-17"])
    for name, (path, change, param, words) in VALUES.items():
        rows[name] = (path, body_of(path, change), 400, param, words)
    return rows
