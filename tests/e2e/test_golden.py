"""The model's own answers: models/sluice-tiny/golden/golden.json, made by the reference implementation."""
import pytest
from harness import GOLDEN, MODEL_NAME

NEAR_TIE = 0.05  # of the two best logits: beyond such a step bf16 arithmetic may rightly go another way
END_OF_TURN = 4


def certain_ids(entry):
    """The greedy ids up to and including the first near-tie's predecessor; without the end of turn."""
    ids = []
    for token, gap in zip(entry["greedy_ids"], entry["top2_gap"]):
        if gap < NEAR_TIE or token == END_OF_TURN:
            break
        ids.append(token)
    return ids


@pytest.mark.parametrize("entry", GOLDEN, ids=[f"{len(entry['prompt_ids'])} tokens" for entry in GOLDEN])
def test_greedy_text_equals_golden(server, entry):
    ids = certain_ids(entry)
    assert ids, "this golden entry proves nothing"
    ask = {"model": MODEL_NAME, "prompt": entry["prompt_ids"], "temperature": 0, "max_tokens": len(ids)}
    status, answer = server.post("/v1/completions", ask)
    assert status == 200, answer
    # Through prompt + output, since a first word's leading space is dropped when ids are decoded on their own.
    prompt = server.post("/detokenize", {"model": MODEL_NAME, "tokens": entry["prompt_ids"]})[1]["prompt"]
    whole = server.post("/detokenize", {"model": MODEL_NAME, "tokens": entry["prompt_ids"] + ids})[1]["prompt"]
    assert answer["choices"][0]["text"] == whole.removeprefix(prompt).rstrip("\N{REPLACEMENT CHARACTER}")
