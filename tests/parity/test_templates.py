"""Rendered chats equal to those of Jinja2 as Hugging Face's transformers sets it up."""
import datetime
import json
import subprocess

import jinja2
import pytest
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from templates import CHATS, FAMILIES, FEATURES, SPACES, TOOLS, VARIABLES
from test_tokenizers import TOOL

NOW = 1732450000  # some day in 2024


class Generation(Extension):
    """{% generation %}: marks what the model wrote; here it only has to be passed."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

    def _pass(self, caller):
        return caller()


def environment():
    """The settings of transformers' chat templates."""
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW).strftime(f)
    return env


def theirs(case):
    """The text, or None where Jinja fails."""
    messages = case["messages"]
    try:
        text = environment().from_string(case["template"]).render(
            messages=messages, tools=case["tools"], documents=None, add_generation_prompt=case["add_generation_prompt"],
            bos_token="<s>", eos_token="</s>", **case["variables"])
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ZeroDivisionError):
        return None
    if case["continue_final_message"]:
        last = messages[-1]["content"]
        at = text.rindex(last.strip())
        text = text[:at + len(last)] if text[at:at + len(last)] == last else text[:at + len(last.strip())]
    return text


def case(template, messages=CHATS[1], tools=None, variables=VARIABLES, prompt=True, final=False):
    return {"template": template, "messages": messages, "tools": tools, "variables": variables, "now": NOW,
            "add_generation_prompt": prompt, "continue_final_message": final}


def compare(cases):
    lines = "".join(json.dumps(c) + "\n" for c in cases)
    done = subprocess.run([TOOL, "template"], input=lines.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(answers) == len(cases)
    wrong = []
    for c, ours in zip(cases, answers):
        expected = theirs(c)
        if ours.get("text") != expected:
            wrong.append(f"{c['template']}\n  {c['messages']}\n  ours   {ours.get('text', ours.get('error'))!r}\n  theirs {expected!r}")
    assert not wrong, f"{len(wrong)} of {len(cases)} differ:\n" + "\n".join(wrong[:8])


def test_single_features():
    """Each expression alone, so that one failure hides no other, and each line as a whole."""
    cases = [case(line) for line in FEATURES]
    for line in FEATURES:
        if "{%" not in line:
            cases += [case("{{" + part) for part in line.split("{{")[1:]]
    compare(cases)


def test_white_space():
    compare([case(source) for source in SPACES])


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family):
    cases = []
    for chat in CHATS:
        for tools in (None, TOOLS) if "tools" in FAMILIES[family] else (None,):  # else they are refused
            for variables in ({}, {"enable_thinking": False}):
                cases += [case(FAMILIES[family], chat, tools, variables, prompt) for prompt in (False, True)]
    rendered = sum(theirs(c) is not None for c in cases)
    assert rendered * 2 > len(cases), "most chats must be what the template takes"
    compare(cases)


def test_the_final_message_is_left_open():
    chats = [chat for chat in CHATS if chat[-1]["role"] == "assistant" and "<think>" not in chat[-1]["content"]]
    compare([case(FAMILIES[f], chat, None, {}, False, True) for f in ("chatml", "gemma") for chat in chats])
