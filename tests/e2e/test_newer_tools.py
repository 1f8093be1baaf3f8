"""Tools through /v1/responses and /v1/messages, as the official SDKs see them: forced calls, the turn after them, and forms."""
import json

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


def arguments_of_chat(client):
    named = {"type": "function", "function": {"name": "get_weather"}}
    answer = client.chat.completions.create(messages=TURNS, tools=[WEATHER, TIME], tool_choice=named, max_tokens=200, **GREEDY)
    return json.loads(answer.choices[0].message.tool_calls[0].function.arguments)


def test_a_response_calls_as_a_chat_does(client):
    ask = {"input": TURNS, "tools": FLAT, "tool_choice": {"type": "function", "name": "get_weather"}, "max_output_tokens": 200}
    response = client.responses.create(**ask, **GREEDY)
    [call] = response.output
    assert call.type == "function_call" and call.name == "get_weather" and call.status == "completed"
    assert json.loads(call.arguments) == arguments_of_chat(client)
    assert response.tools[0].name == "get_weather" and response.tool_choice.name == "get_weather"
    with client.responses.stream(**ask, **GREEDY) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(deltas) == final.output[0].arguments == call.arguments and len(deltas) > 1


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


def test_a_message_calls_as_a_chat_does(claude, client):
    ask = {"messages": TURNS, "tools": CUSTOM, "tool_choice": {"type": "tool", "name": "get_weather"}}
    message = claude.messages.create(**ask, **GREEDY_MESSAGE)
    [call] = message.content
    assert message.stop_reason == "tool_use" and call.type == "tool_use" and call.name == "get_weather"
    assert call.input == arguments_of_chat(client)
    with claude.messages.stream(**ask, **GREEDY_MESSAGE) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == call.input and final.stop_reason == "tool_use"


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


def test_an_answer_has_the_form_that_was_asked_for(claude, client):
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
    response = client.responses.create(input=TURNS, text=text, max_output_tokens=64, **GREEDY)
    assert json.loads(response.output_text) == {"city": "Rome"}
    output = {"format": {"type": "json_schema", "schema": schema}}
    message = claude.messages.create(messages=TURNS, output_config=output, **GREEDY_MESSAGE)
    assert json.loads(message.content[0].text) == {"city": "Rome"}
