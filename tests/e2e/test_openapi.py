"""/openapi.json is true: a fuzzer that believes it finds no answer that it does not describe."""
import subprocess
import sys

import pytest
from harness import Server

EXAMPLES = 12  # an operation, beside the systematic cases
LIMIT_S = 600
CONFIG = """
[checks.positive_data_acceptance]
# What depends on several fields, or on the number of tokens, no schema can say: that is a 400 in words.
expected-statuses = ["2xx", "400", "401", "404"]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A short context keeps answers short whatever lengths the fuzzer asks for."""
    with Server(tmp_path_factory.mktemp("openapi") / "log", max_model_len=64, max_num_seqs=64) as server:
        yield server


def test_schemathesis_finds_nothing(small, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", tmp_path / "schemathesis.toml", "run"]
    command += [small.url + "/openapi.json", "--mode", "all", "--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)]
    command += ["--seed", "1", "--suppress-health-check", "all", "--no-color", "--request-timeout", "30"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert small.process.poll() is None
    small.wait_until_idle()
