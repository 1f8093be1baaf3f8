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
