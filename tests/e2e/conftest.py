"""One server for all tests that leave it as they found it; tests of start, stop and limits start their own."""
import openai
import pytest
from harness import BINARY, Server


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: build the target sluice, or set SLUICE_BINARY", returncode=2)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """In batch-invariant mode: then an answer that differs is a bug, and never a near-tie."""
    with Server(tmp_path_factory.mktemp("server") / "log", batch_invariant=True) as running:
        yield running
        running.wait_until_idle()
        running.terminate()
        assert running.wait() == 0, running.log()


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)
