"""What OpenAI's own SDK sends, and what it makes of the answers."""
import asyncio
import math

import openai
import pytest
from harness import GOLDEN, MODEL_NAME

QUESTION = [{"role": "user", "content": "What does the grep command do?"}]
ANSWER = "grep: print lines that match patterns."
GREEDY = {"model": MODEL_NAME, "temperature": 0}
# Long enough to be worth comparing, and not cut short by an end of sequence.
UNENDING = {"extra_body": {"ignore_eos": True}}
RANDOM = {"model": MODEL_NAME, "prompt": "The", "max_tokens": 24, "temperature": 1.5, **UNENDING}


# ---- chat ----


def test_chat_answers_the_question(client):
    chat = client.chat.completions.create(messages=QUESTION, **GREEDY)
    assert chat.object == "chat.completion"
    assert chat.model == MODEL_NAME
    assert chat.choices[0].message.role == "assistant"
    assert chat.choices[0].message.content == ANSWER
    assert chat.choices[0].finish_reason == "stop"
    assert chat.usage.prompt_tokens == len(GOLDEN[0]["prompt_ids"])
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens


def test_chat_stream_is_the_same_text_in_pieces(client):
    chunks = list(
        client.chat.completions.create(messages=QUESTION, stream=True, stream_options={"include_usage": True}, **GREEDY)
    )
    *rest, last = chunks
    assert rest[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in rest) == ANSWER
    assert [chunk.choices[0].finish_reason for chunk in rest if chunk.choices[0].finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert last.choices == [] and last.usage.prompt_tokens == len(GOLDEN[0]["prompt_ids"])
    assert all(chunk.usage is None for chunk in rest)


def test_stream_without_include_usage_has_no_usage_chunk(client):
    chunks = list(client.chat.completions.create(messages=QUESTION, stream=True, **GREEDY))
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in chunks)


def test_content_parts_are_joined_into_one_message(client):
    parts = [{"type": "text", "text": "What does the grep "}, {"type": "text", "text": "command do?"}]
    chat = client.chat.completions.create(messages=[{"role": "user", "content": parts}], **GREEDY)
    assert chat.usage.prompt_tokens > 0 and chat.choices[0].finish_reason in ("stop", "length")


def test_max_completion_tokens_is_the_newer_name(client):
    chat = client.chat.completions.create(messages=QUESTION, max_completion_tokens=3, **GREEDY)
    assert chat.choices[0].finish_reason == "length"
    assert chat.usage.completion_tokens == 3


# ---- completions ----


def test_completion_of_token_ids_equals_the_chat(client):
    completion = client.completions.create(prompt=GOLDEN[0]["prompt_ids"], max_tokens=32, **GREEDY)
    assert completion.object == "text_completion"
    assert completion.choices[0].text == ANSWER
    assert completion.choices[0].finish_reason == "stop"


def test_completion_stream_is_the_same_text_in_pieces(client):
    whole = client.completions.create(prompt="The kernel", max_tokens=40, **GREEDY).choices[0].text
    chunks = list(client.completions.create(prompt="The kernel", max_tokens=40, stream=True, **GREEDY))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole
    assert len(chunks) > 2  # tokens that wait for a busy client travel together
    assert chunks[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("of_ids", [False, True], ids=["texts", "token ids"])
def test_batch_of_prompts_is_each_prompt_alone(client, of_ids):
    prompts = [entry["prompt_ids"] for entry in GOLDEN[2:5]] if of_ids else ["The kernel", "A file", "Print"]
    alone = [client.completions.create(prompt=p, max_tokens=12, **GREEDY).choices[0].text for p in prompts]
    batch = client.completions.create(prompt=prompts, max_tokens=12, **GREEDY)
    assert [choice.index for choice in batch.choices] == [0, 1, 2]
    assert [choice.text for choice in batch.choices] == alone
    assert batch.usage.completion_tokens == 36


# ---- choices, seeds, stops ----


def test_n_choices_differ_and_repeat_with_the_seed(client):
    first, second = (client.completions.create(n=3, seed=7, **RANDOM) for _ in range(2))
    texts = [choice.text for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts == [choice.text for choice in second.choices]
    assert first.usage.completion_tokens == 3 * RANDOM["max_tokens"]


def test_streamed_choices_reassemble_to_the_whole_ones(client):
    whole = client.completions.create(n=2, seed=11, **RANDOM)
    texts = ["", ""]
    for chunk in client.completions.create(n=2, seed=11, stream=True, **RANDOM):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


def test_another_seed_is_another_text(client):
    texts = {client.completions.create(seed=seed, **RANDOM).choices[0].text for seed in (1, 2, 3)}
    assert len(texts) == 3


def test_a_seed_gives_the_same_text_whatever_else_runs(client, server):
    alone = client.completions.create(seed=5, **RANDOM).choices[0].text
    crowd = openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)

    async def ask_all():
        return await asyncio.gather(*(crowd.completions.create(seed=5 + i, **RANDOM) for i in range(32)))

    texts = [completion.choices[0].text for completion in asyncio.run(ask_all())]
    assert texts[0] == alone
    assert len(set(texts)) > 16


@pytest.mark.parametrize("stop", ["lines", ["no such text", " match"], "es that m"])
def test_stop_string_ends_the_text_before_itself(client, stop):
    chat = client.chat.completions.create(messages=QUESTION, stop=stop, **GREEDY)
    word = stop if isinstance(stop, str) else stop[-1]
    assert chat.choices[0].message.content == ANSWER[: ANSWER.index(word)]
    assert chat.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(messages=QUESTION, stop=stop, stream=True, **GREEDY)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == ANSWER[: ANSWER.index(word)]


def test_stop_token_ids_and_min_tokens(client):
    ids = GOLDEN[0]["greedy_ids"]
    extra = {"stop_token_ids": [ids[4]]}
    stopped = client.completions.create(prompt=GOLDEN[0]["prompt_ids"], max_tokens=32, extra_body=extra, **GREEDY)
    assert stopped.choices[0].finish_reason == "stop"
    assert ANSWER.startswith(stopped.choices[0].text) and stopped.choices[0].text != ANSWER
    extra = {"min_tokens": len(ids) + 3}
    longer = client.completions.create(prompt=GOLDEN[0]["prompt_ids"], max_tokens=32, extra_body=extra, **GREEDY)
    assert longer.usage.completion_tokens >= len(ids) + 3


def test_ignore_eos_runs_to_the_limit(client):
    ids = GOLDEN[0]["prompt_ids"]
    completion = client.completions.create(prompt=ids, max_tokens=40, **UNENDING, **GREEDY)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 40


# ---- logprobs, bias, scoring ----


def test_chat_logprobs(client):
    chat = client.chat.completions.create(messages=QUESTION, logprobs=True, top_logprobs=5, max_tokens=6, **GREEDY)
    content = chat.choices[0].logprobs.content
    assert len(content) == 6
    assert b"".join(bytes(entry.bytes) for entry in content).decode() == chat.choices[0].message.content
    for entry, expected in zip(content, GOLDEN[0]["greedy_logprobs"]):
        assert len(entry.top_logprobs) == 5
        assert entry.logprob == pytest.approx(expected, abs=0.05)
        assert entry.top_logprobs[0].token == entry.token  # greedy: the chosen one is the best one
        top = [alternative.logprob for alternative in entry.top_logprobs]
        assert top == sorted(top, reverse=True)
        assert sum(map(math.exp, top)) <= 1.0001


def test_streamed_logprobs_are_the_whole_ones(client):
    ask = {"messages": QUESTION, "logprobs": True, "top_logprobs": 2, "max_tokens": 6, **GREEDY}
    whole = client.chat.completions.create(**ask).choices[0].logprobs.content
    streamed = []
    for chunk in client.chat.completions.create(stream=True, **ask):
        if chunk.choices[0].logprobs:
            streamed += chunk.choices[0].logprobs.content
    assert [(entry.token, entry.logprob) for entry in streamed] == [(entry.token, entry.logprob) for entry in whole]


def test_completion_logprobs(client):
    completion = client.completions.create(prompt="The kernel", max_tokens=8, logprobs=3, **GREEDY)
    logprobs = completion.choices[0].logprobs
    assert "".join(logprobs.tokens) == completion.choices[0].text
    assert len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.text_offset) == 8
    assert all(len(top) >= 3 for top in logprobs.top_logprobs)
    assert logprobs.text_offset[0] == 0 and logprobs.text_offset == sorted(logprobs.text_offset)


def test_echo_scores_the_prompt(client):
    """Scoring prompt + greedy continuation gives the log-probabilities that generation reported."""
    golden = GOLDEN[0]
    ids = golden["prompt_ids"] + golden["greedy_ids"]
    scored = client.completions.create(prompt=ids, max_tokens=0, echo=True, logprobs=1, **GREEDY).choices[0]
    assert len(scored.logprobs.token_logprobs) == len(ids)
    assert scored.logprobs.token_logprobs[0] is None
    tail = scored.logprobs.token_logprobs[len(golden["prompt_ids"]) :]
    assert tail == pytest.approx(golden["greedy_logprobs"], abs=0.05)


def test_echo_puts_the_prompt_before_the_text(client):
    plain = client.completions.create(prompt="The kernel", max_tokens=5, **GREEDY).choices[0].text
    echoed = client.completions.create(prompt="The kernel", max_tokens=5, echo=True, **GREEDY).choices[0].text
    assert echoed == "The kernel" + plain


def test_logit_bias_bans_and_forces(client):
    first = GOLDEN[0]["greedy_ids"][0]
    ask = {"prompt": GOLDEN[0]["prompt_ids"], "max_tokens": 1, **GREEDY}
    free = client.completions.create(**ask).choices[0].text
    banned = client.completions.create(logit_bias={str(first): -100}, **ask).choices[0].text
    assert banned != free
    forced_id = GOLDEN[0]["top10_ids"][9]
    forced = client.completions.create(logit_bias={str(forced_id): 100}, **ask).choices[0].text
    assert forced not in (free, banned)


def test_penalties_change_a_repetitive_text(client):
    ask = {"prompt": GOLDEN[5]["prompt_ids"], "max_tokens": 24, **GREEDY}
    plain = client.completions.create(**ask).choices[0].text
    assert client.completions.create(frequency_penalty=1.5, **ask).choices[0].text != plain
    assert client.completions.create(extra_body={"repetition_penalty": 1.5}, **ask).choices[0].text != plain


# ---- models, errors ----


def test_models_list_and_retrieve(client):
    assert [model.id for model in client.models.list()] == [MODEL_NAME]
    model = client.models.retrieve(MODEL_NAME)
    assert model.id == MODEL_NAME and model.object == "model" and model.created > 0
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_errors_are_the_sdk_s_classes_with_openai_s_body(client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert "no-such-model" in unknown.value.body["message"]
    with pytest.raises(openai.BadRequestError) as negative:
        client.chat.completions.create(model=MODEL_NAME, messages=QUESTION, temperature=-1)
    body = negative.value.body
    assert set(body) >= {"message", "type", "param", "code"}
    assert "temperature" in body["message"] and "-1" in body["message"]
    assert body["type"] == "invalid_request_error" and body["param"] == "temperature"


def test_closing_a_stream_early_leaves_the_client_usable(client, server):
    stream = client.completions.create(prompt="The", max_tokens=2000, stream=True, **UNENDING, **GREEDY)
    next(iter(stream))
    stream.close()
    server.wait_until_idle()
    assert client.chat.completions.create(messages=QUESTION, **GREEDY).choices[0].message.content == ANSWER
