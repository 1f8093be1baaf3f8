"""Tools through /v1/responses and /v1/messages, as the official SDKs see them: the turn after a call, and reasoning."""
import anthropic
import pytest
from harness import MODEL_NAME
from test_tools import ASK, WEATHER, tool, tool_client  # noqa: F401 (a fixture)

TIME = tool("get_time", {"zone": {"enum": ["CET", "UTC"]}})
TURNS = ASK["messages"]
FLAT = [{"type": "function", **tool["function"]} for tool in (WEATHER, TIME)]
CUSTOM = [{"name": tool["function"]["name"], "input_schema": tool["function"]["parameters"]} for tool in (WEATHER, TIME)]
GREEDY = {"model": MODEL_NAME, "temperature": 0}
GREEDY_MESSAGE = {"model": MODEL_NAME, "max_tokens": 200, "extra_body": {"temperature": 0}}


@pytest.fixture
def client(tool_client):  # noqa: F811
    return tool_client


@pytest.fixture
def claude(tool_client):  # noqa: F811
    url = str(tool_client.base_url).removesuffix("/v1/")
    return anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=120)


def test_a_response_goes_on_after_a_call(client):
    call = {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Rome", "days": 1}'}
    answer = {"type": "function_call_output", "call_id": "c1", "output": "Sunny."}
    response = client.responses.create(input=[*TURNS, call, answer], tools=FLAT, tool_choice="none", max_output_tokens=8, **GREEDY)
    function = {"name": "get_weather", "arguments": call["arguments"]}
    chat = client.chat.completions.create(
        messages=[
            *TURNS,
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
        ],
        max_tokens=8,
        **GREEDY,
    )
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert response.output_text == (chat.choices[0].message.content or "")


def test_a_message_goes_on_after_a_call(claude):
    turns = [
        *TURNS,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Rome"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "Sunny."}]},
    ]
    message = claude.messages.create(messages=turns, tools=CUSTOM, tool_choice={"type": "none"}, **GREEDY_MESSAGE)
    assert message.content and message.stop_reason in ("end_turn", "max_tokens")
    counted = claude.messages.count_tokens(messages=turns, model=MODEL_NAME).input_tokens
    assert counted == message.usage.input_tokens + message.usage.cache_read_input_tokens


def test_reasoning_is_a_block_and_an_item_of_its_own(claude, client):
    thinking = {"chat_template_kwargs": {"enable_thinking": True}}
    response = client.responses.create(input=TURNS, max_output_tokens=12, extra_body=thinking, **GREEDY)
    assert [item.type for item in response.output] == ["reasoning"] and response.output[0].content[0].text
    with client.responses.stream(input=TURNS, max_output_tokens=12, extra_body=thinking, **GREEDY) as stream:
        types = {event.type for event in stream}
    assert "response.reasoning_text.delta" in types and "response.output_text.delta" not in types
    ask = {"messages": TURNS, "max_tokens": 12, "model": MODEL_NAME, "extra_body": {"temperature": 0, **thinking}}
    message = claude.messages.create(**ask)
    assert [block.type for block in message.content] == ["thinking"]
    with claude.messages.stream(**ask) as stream:
        assert stream.get_final_message().content[0].thinking == message.content[0].thinking
