"""Ids and texts equal to those of Hugging Face's `tokenizers`, kind by kind, on random and nasty strings."""
import json
import os
import pathlib
import random
import re
import subprocess

import pytest
from kinds import KINDS, Strings

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = pathlib.Path(os.environ.get("SLUICE_TEXT_TOOL", ROOT / "build/cpu/tests/parity/text_tool"))
NUM_STRINGS = 10_000
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def ask(path, requests):
    """(prefix and suffix, the answers)."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([TOOL, "tokenizer", path], input=lines.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(answers) == len(requests) + 1
    return answers[0], answers[1:]


def first_difference(texts, ours, theirs, what):
    different = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    if different:
        i = min(different, key=lambda i: len(texts[i]))
        pytest.fail(f"{what}: {len(different)} of {len(texts)} differ, the shortest for {texts[i]!r}\n"
                    f"ours   {ours[i]}\ntheirs {theirs[i]}")


def decodable(tokenizer):
    """Where both promise the same: one dropped space at the start, and no broken code points of byte tokens."""
    def check(ids):
        tokens = [tokenizer.id_to_token(i) for i in ids]
        return not tokens or not tokens[0].startswith("▁▁") and tokens[0] != "▁" and not any(map(BYTE_TOKEN.fullmatch, tokens))
    return check


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_ids_and_texts_are_those_of_tokenizers(kind, tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    theirs = kind()
    path = tmp_path / "tokenizer.json"
    theirs.save(str(path))
    special = sorted(t.content for t in theirs.get_added_tokens_decoder().values())
    strings = Strings(seed, special)
    texts = [strings.text() for _ in range(NUM_STRINGS)]

    def encode(texts, trusted, add=False):
        theirs.encode_special_tokens = not trusted
        return [e.ids for e in theirs.encode_batch(texts, add_special_tokens=add)]

    plain, trusted = encode(texts, False), encode(texts, True)
    ids = random.Random(seed)
    samples = [[ids.randrange(theirs.get_vocab_size()) for _ in range(6)] for _ in range(2000)] + plain
    check = decodable(theirs)
    samples = [s for s in samples if all(map(theirs.id_to_token, s)) and check(s)]
    requests = ([{"encode": t} for t in texts] + [{"trusted": t} for t in texts] + [{"decode": s} for s in samples])
    frame, answers = ask(path, requests)
    first_difference(texts, answers[:len(texts)], plain, "plain text")
    first_difference(texts, answers[len(texts):2 * len(texts)], trusted, "text with control tokens")
    first_difference([str(s) for s in samples], answers[2 * len(texts):],
                     theirs.decode_batch(samples, skip_special_tokens=False), "decoding")
    assert frame["prefix"] + plain[0] + frame["suffix"] == encode(texts[:1], False, add=True)[0]
