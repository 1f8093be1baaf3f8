"""What OpenAI's SDK makes of /v1/responses, and Anthropic's of /v1/messages."""
import anthropic
import openai
import pytest
from harness import GOLDEN, MODEL_NAME, Server
from test_openai_sdk import ANSWER, QUESTION

TEXT = QUESTION[0]["content"]
GREEDY = {"model": MODEL_NAME, "temperature": 0}
SAMPLED_GREEDILY = {"model": MODEL_NAME, "extra_body": {"temperature": 0}}  # Anthropic's SDK has dropped the argument
UNENDING = {"extra_body": {"ignore_eos": True}}
KEY = "sk-of-this-test"


@pytest.fixture
def claude(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120)


def usage_of(message):
    return message.usage.input_tokens + message.usage.cache_read_input_tokens, message.usage.output_tokens


# ---- /v1/responses ----


def test_a_response_answers_the_question(client):
    response = client.responses.create(input=TEXT, **GREEDY)
    assert response.object == "response" and response.status == "completed" and response.error is None
    assert response.output_text == ANSWER
    assert response.output[0].role == "assistant" and response.output[0].status == "completed"
    assert response.usage.input_tokens == len(GOLDEN[0]["prompt_ids"])
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.model == MODEL_NAME and response.temperature == 0


def test_a_response_streams_the_same_text_in_pieces(client):
    with client.responses.stream(input=TEXT, **GREEDY) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == ANSWER and final.status == "completed"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == ANSWER and len(deltas) > 1
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
    assert final.usage.output_tokens > 0


def test_a_conversation_goes_on_from_the_output_of_the_response_before(client):
    first = client.responses.create(input=TEXT, instructions="Be brief.", **GREEDY)
    turns = [{"role": "user", "content": TEXT}, *first.output, {"role": "user", "content": "And sed?"}]
    response = client.responses.create(input=turns, instructions="Be brief.", store=False, **GREEDY)
    chat = client.chat.completions.create(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "And sed?"},
        ],
        **GREEDY,
    )
    assert response.output_text == chat.choices[0].message.content
    assert response.usage.input_tokens == chat.usage.prompt_tokens


def test_a_response_cut_by_its_limit_says_so(client):
    response = client.responses.create(input=TEXT, max_output_tokens=3, **GREEDY, **UNENDING)
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 3
    events = list(client.responses.create(input=TEXT, max_output_tokens=3, stream=True, **GREEDY, **UNENDING))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text == response.output_text


def test_a_response_scores_its_tokens(client):
    response = client.responses.create(
        input=TEXT, top_logprobs=2, include=["message.output_text.logprobs"], max_output_tokens=4, **GREEDY
    )
    scores = response.output[0].content[0].logprobs
    assert len(scores) == 4 and all(len(score.top_logprobs) == 2 for score in scores)
    assert "".join(score.token for score in scores) == response.output_text


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"previous_response_id": "resp_1"}, "not kept"),
        ({"store": True}, "not kept"),
        ({"background": True}, "background"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"truncation": "auto"}, "never cut"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y.png"}]}]}, "only text parts"),
    ],
)
def test_what_responses_cannot_do_is_refused_in_words(client, fields, words):
    with pytest.raises(openai.BadRequestError, match=words):
        client.responses.create(**{"input": TEXT, **GREEDY, **fields})


# ---- /v1/messages ----


def test_a_message_answers_the_question(claude):
    message = claude.messages.create(messages=QUESTION, max_tokens=64, **SAMPLED_GREEDILY)
    assert message.type == "message" and message.role == "assistant" and message.model == MODEL_NAME
    assert [block.text for block in message.content] == [ANSWER]
    assert message.stop_reason == "end_turn" and message.stop_sequence is None
    assert usage_of(message)[0] == len(GOLDEN[0]["prompt_ids"])


def test_a_message_streams_the_same_text_in_pieces(claude):
    with claude.messages.stream(messages=QUESTION, max_tokens=64, **SAMPLED_GREEDILY) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == ANSWER and len(pieces) > 1
    assert final.content[0].text == ANSWER and final.stop_reason == "end_turn"
    whole = claude.messages.create(messages=QUESTION, max_tokens=64, **SAMPLED_GREEDILY)
    assert usage_of(final) == usage_of(whole)
    events = list(claude.messages.create(messages=QUESTION, max_tokens=64, stream=True, **SAMPLED_GREEDILY))
    assert events[0].type == "message_start" and events[-1].type == "message_stop"


def test_a_message_has_a_system_prompt_and_turns_as_a_chat_has(claude, client):
    turns = [{"role": "user", "content": TEXT}, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "And sed?"}]
    message = claude.messages.create(system="Be brief.", messages=turns, max_tokens=32, **SAMPLED_GREEDILY)
    chat = client.chat.completions.create(
        messages=[{"role": "system", "content": "Be brief."}, *turns], max_tokens=32, **GREEDY
    )
    assert message.content[0].text == chat.choices[0].message.content
    assert usage_of(message) == (chat.usage.prompt_tokens, chat.usage.completion_tokens)
    counted = claude.messages.count_tokens(system="Be brief.", messages=turns, model=MODEL_NAME)
    assert counted.input_tokens == chat.usage.prompt_tokens


def test_a_message_goes_on_with_a_begun_answer(claude):
    begun = ANSWER[: len("grep: print lines")]
    message = claude.messages.create(
        messages=[*QUESTION, {"role": "assistant", "content": begun}], max_tokens=32, **SAMPLED_GREEDILY
    )
    assert begun + message.content[0].text == ANSWER


def test_a_message_says_what_stopped_it(claude):
    cut = claude.messages.create(messages=QUESTION, max_tokens=3, **SAMPLED_GREEDILY)
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 3
    stopped = claude.messages.create(messages=QUESTION, max_tokens=32, stop_sequences=["lines"], **SAMPLED_GREEDILY)
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == "lines"
    assert stopped.content[0].text == ANSWER[: ANSWER.index("lines")]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}]}, "only text"),
        ({"max_tokens": 10**6}, "context length"),
        ({"extra_body": {"temperature": "hot"}}, "a number"),
    ],
)
def test_what_messages_cannot_do_is_refused_in_anthropics_shape(claude, fields, words):
    with pytest.raises(anthropic.BadRequestError, match=words) as error:
        claude.messages.create(**{"messages": QUESTION, "max_tokens": 8, **SAMPLED_GREEDILY, **fields})
    assert error.value.body["type"] == "error"
    assert error.value.body["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(claude):
    with pytest.raises(anthropic.NotFoundError) as error:
        claude.messages.create(model="claude", messages=QUESTION, max_tokens=8)
    assert error.value.body["error"]["type"] == "not_found_error"


def test_each_sdk_sends_its_key_its_own_way(tmp_path):
    with Server(tmp_path / "log", api_key=KEY) as server:
        for key, token in ((KEY, None), (None, KEY)):
            claude = anthropic.Anthropic(base_url=server.url, api_key=key, auth_token=token, max_retries=0)
            assert claude.messages.create(messages=QUESTION, max_tokens=2, **SAMPLED_GREEDILY).usage.output_tokens == 2
        wrong = anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0)
        with pytest.raises(anthropic.AuthenticationError) as error:
            wrong.messages.create(messages=QUESTION, max_tokens=2, **SAMPLED_GREEDILY)
        assert error.value.body["error"]["type"] == "authentication_error"
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        assert client.responses.create(input=TEXT, **GREEDY).status == "completed"
