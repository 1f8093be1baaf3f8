"""Tools and reasoning as OpenAI's own SDK sees them, with a chat template that knows both."""
import json

import openai
import pytest
from harness import MODEL, MODEL_NAME, Server

# As Qwen's, in short: tools in the first turn, calls and answers in tags, reasoning where it is asked for.
TEMPLATE = """{{ bos_token }}{%- if tools %}<|im_start|>system
Tools: {% for tool in tools %}{{ tool | tojson }}
{% endfor %}Call them within <tool_call></tool_call>.<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{%- if message.reasoning_content %}
<think>{{ message.reasoning_content }}</think>
{%- endif %}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>
{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking %}<think>
{% endif %}{% endif %}"""
ASK = {"model": MODEL_NAME, "messages": [{"role": "user", "content": "How is Rome?"}], "temperature": 0}


def tool(name, properties, **more):
    parameters = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


WEATHER = tool("get_weather", {"city": {"enum": ["Rome", "Oslo"]}, "days": {"enum": [1, 2]}})
TIME = tool("get_time", {"zone": {"enum": ["CET", "UTC"]}})


@pytest.fixture(scope="module")
def tool_client(tmp_path_factory):
    model = tmp_path_factory.mktemp("tools") / MODEL_NAME
    model.mkdir()
    for file in MODEL.iterdir():
        if file.name != "tokenizer_config.json":
            (model / file.name).symlink_to(file)
    config = json.loads((MODEL / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    with Server(model.parent / "log", model=model) as running:
        yield openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0, timeout=120)


def create(client, **more):
    return client.chat.completions.create(**{**ASK, **more})


def test_reasoning_that_the_prompt_opens_comes_apart(tool_client):
    thinking = {"chat_template_kwargs": {"enable_thinking": True}}
    choice = create(tool_client, max_tokens=12, extra_body=thinking).choices[0]
    assert choice.message.content is None
    assert choice.message.reasoning_content
    plain = create(tool_client, max_tokens=12).choices[0]
    assert plain.message.content and not hasattr(plain.message, "reasoning_content")
    pieces = [chunk.choices[0].delta for chunk in create(tool_client, max_tokens=12, stream=True, extra_body=thinking)]
    assert "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces) == choice.message.reasoning_content
    assert not any(piece.content for piece in pieces)


def test_a_conversation_with_calls_is_written_by_the_template(tool_client):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Look it up."},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
    ]
    answered = create(tool_client, messages=turns, tools=[WEATHER], max_tokens=4)
    assert answered.usage.prompt_tokens > create(tool_client, tools=[WEATHER], max_tokens=4).usage.prompt_tokens


def test_tool_choice_none_hides_the_tools(tool_client):
    hidden = create(tool_client, tools=[WEATHER], tool_choice="none", max_tokens=2)
    assert hidden.usage.prompt_tokens == create(tool_client, max_tokens=2).usage.prompt_tokens


@pytest.mark.parametrize(
    "more, param",
    [
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": [tool("a b", {})]}, "tools[0].function.name"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
    ],
)
def test_wrong_tools_are_named(tool_client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        create(tool_client, **more)
    assert refused.value.param == param


# ---- forced calls ----


def check_call(call, name):
    assert call.function.name == name and call.type == "function" and call.id.startswith("call_")
    arguments = json.loads(call.function.arguments)
    expected = WEATHER if name == "get_weather" else TIME
    assert set(arguments) == set(expected["function"]["parameters"]["properties"])
    return arguments


@pytest.mark.parametrize("name", ["get_weather", "get_time"])
def test_a_named_tool_is_called_once(tool_client, name):
    named = {"type": "function", "function": {"name": name}}
    choice = create(tool_client, tools=[WEATHER, TIME], tool_choice=named, max_tokens=200).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    [call] = choice.message.tool_calls
    check_call(call, name)


def test_required_makes_calls_and_nothing_else(tool_client):
    ask = {"tools": [WEATHER, TIME], "tool_choice": "required", "max_tokens": 200, "parallel_tool_calls": False}
    choice = create(tool_client, **ask).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    [call] = choice.message.tool_calls
    check_call(call, call.function.name)


def test_a_streamed_call_is_the_whole_one_in_pieces(tool_client):
    named = {"type": "function", "function": {"name": "get_weather"}}
    ask = {"tools": [WEATHER], "tool_choice": named, "max_tokens": 200}
    whole = create(tool_client, **ask).choices[0].message.tool_calls[0]
    chunks = [chunk.choices[0] for chunk in create(tool_client, stream=True, **ask)]
    pieces = [piece for chunk in chunks for piece in chunk.delta.tool_calls or []]
    assert {piece.index for piece in pieces} == {0}
    assert [piece.id for piece in pieces if piece.id] == [pieces[0].id]
    assert [piece.function.name for piece in pieces if piece.function.name] == ["get_weather"]
    assert "".join(piece.function.arguments for piece in pieces) == whole.function.arguments
    assert len(pieces) > 2
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]
    assert not any(chunk.delta.content for chunk in chunks)


def test_every_choice_makes_its_own_call(tool_client):
    ask = {"tools": [WEATHER, TIME], "tool_choice": "required", "max_tokens": 200, "parallel_tool_calls": False}
    choices = create(tool_client, n=4, temperature=1, seed=1, **ask).choices
    calls = [choice.message.tool_calls[0] for choice in choices]
    assert len({call.id for call in calls}) == 4
    for call in calls:
        check_call(call, call.function.name)


def test_a_forced_call_comes_behind_the_reasoning(tool_client):
    thinking = {"chat_template_kwargs": {"enable_thinking": True}}
    named = {"type": "function", "function": {"name": "get_time"}}
    choice = create(tool_client, tools=[TIME], tool_choice=named, max_tokens=40, extra_body=thinking).choices[0]
    # The small model never ends what it thinks: all of it is reasoning, and nothing a call.
    assert choice.message.reasoning_content and not choice.message.tool_calls


def test_the_sdk_parses_strict_tools(tool_client):
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}
    ask = {"tools": [strict], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 200}
    message = tool_client.chat.completions.parse(**ASK, **ask).choices[0].message
    assert message.tool_calls[0].function.parsed_arguments["city"] in ("Rome", "Oslo")


def test_auto_finds_the_calls_that_a_model_makes(tool_client):
    call = '<tool_call>\n{"name": "get_time", "arguments": {"zone": "UTC"}}\n</tool_call>'
    said = {"structured_outputs": {"choice": ["One moment.\n" + call + "\n" + call]}}
    ask = {"tools": [WEATHER, TIME], "max_tokens": 200, "extra_body": said}
    message = create(tool_client, **ask).choices[0].message
    assert message.content == "One moment."
    assert [check_call(call, "get_time") for call in message.tool_calls] == [{"zone": "UTC"}] * 2
    only = create(tool_client, parallel_tool_calls=False, **ask).choices[0]
    assert len(only.message.tool_calls) == 1 and only.finish_reason == "tool_calls"
