"""With --batch-invariant, tokens and log-probabilities are equal to the bit, whatever happens around a request.

Floats are printed so that they read back as themselves: equal JSON is equal bits.
"""
import concurrent.futures

import pytest
from harness import GOLDEN, MODEL_NAME, Server

NUM_OTHERS = 63
PROMPT = GOLDEN[10]["prompt_ids"][:300]  # more than four blocks, so that there is a prefix to hit


def ask(server, prompt=PROMPT, seed=3, **change):
    body = {"model": MODEL_NAME, "prompt": prompt, "max_tokens": 24, "temperature": 0.8, "seed": seed}
    status, answer = server.post("/v1/completions", {**body, "logprobs": 5, "ignore_eos": True, **change})
    assert status == 200, answer
    return answer


@pytest.fixture(scope="module")
def alone(server):
    return ask(server, cache_salt="alone")["choices"]


def test_among_others(server, alone):
    with concurrent.futures.ThreadPoolExecutor(NUM_OTHERS + 1) as pool:
        crowd = {"cache_salt": "crowd"}
        others = [pool.submit(ask, server, PROMPT[i:], seed=i, **crowd) for i in range(1, NUM_OTHERS + 1)]
        among = pool.submit(ask, server, cache_salt="among").result()["choices"]
        assert len({other.result()["choices"][0]["text"] for other in others}) > NUM_OTHERS // 2
    assert among == alone


def test_on_a_prefix_hit(server, alone):
    hit = ask(server, cache_salt="alone")
    assert hit["usage"]["prompt_tokens_details"]["cached_tokens"] >= 256
    assert hit["choices"] == alone


def test_in_chunks_of_seven_tokens(tmp_path, alone):
    with Server(tmp_path / "log", batch_invariant=True, max_num_batched_tokens=7, max_num_seqs=4) as server:
        assert ask(server)["choices"] == alone


def test_on_one_thread(tmp_path, alone):
    with Server(tmp_path / "log", batch_invariant=True, threads=1) as server:
        assert ask(server)["choices"] == alone
