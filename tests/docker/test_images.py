"""The Dockerfiles, really built, and what they make, really run: not as root, on a read-only root, as process 1."""
import shutil
import subprocess

import images
import pytest

COMMIT = "0123456789ab"
MAX_COMPRESSED_BYTES = {"cpu": 200 << 20, "cuda": 1000 << 20}
BODY = {"prompt": "x", "max_tokens": 3, "ignore_eos": True}

pytestmark = pytest.mark.skipif(bool(images.why_not()), reason=images.why_not())


def built(kind, make_base):
    make_base()
    images.build(f"Dockerfile.{kind}", f"sluice:{kind}", COMMIT)
    return images.Container(f"sluice:{kind}")


@pytest.fixture(scope="module")
def cpu():
    container = built("cpu", images.make_debian)
    yield container
    container.remove()


@pytest.fixture(scope="module")
def cuda():
    if not (images.CUDA / "bin/nvcc").exists():
        pytest.skip("no CUDA toolkit to make a base image of")
    container = built("cuda", images.make_cuda)
    yield container
    container.remove()


@pytest.fixture(params=["cpu", "cuda"])
def container(request):
    return request.getfixturevalue(request.param)


def test_the_image_says_how_it_is_run(container):
    config = container.config
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/local/bin/sluice"] and config["Cmd"] == ["serve"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/sluice", "healthcheck"]
    assert set(config["ExposedPorts"]) == {"8000/tcp", "50051/tcp"}
    assert config["Labels"]["org.opencontainers.image.revision"] == COMMIT
    status, output = container.run([*config["Entrypoint"], "--version"])
    assert status == 0 and COMMIT in output


def test_the_image_has_no_python_and_no_compiler(container):
    programs = [path.name for path in container.root.rglob("*") if path.parent.name in ("bin", "sbin")]
    found = [name for name in programs if name.startswith(("python", "gcc", "g++", "nvcc"))]
    found += container.root.rglob("libpython*")
    assert not found


def test_the_image_is_small(container, request):
    kind = request.node.callspec.params["container"]
    tar = subprocess.Popen(["tar", "-C", container.root, "-cf", "-", "."], stdout=subprocess.PIPE)
    compressed = subprocess.run(["gzip", "-1"], stdin=tar.stdout, capture_output=True, check=True).stdout
    print(f"{kind}: {len(compressed) / 1e6:.0f} MB compressed")
    assert tar.wait() == 0 and len(compressed) < MAX_COMPRESSED_BYTES[kind]


def test_it_serves_without_root_on_a_read_only_root(container, tmp_path):
    # There is no GPU here: the image for it serves on the CPU where it is told to.
    with images.RunningServer(container, tmp_path / "log", environment={"SLUICE_DEVICE": "cpu"}) as server:
        status, answer = server.ask("/v1/completions", BODY)
        assert status == 200 and answer["usage"]["completion_tokens"] == 3
        process = f"/proc/{server.pid()}/status"
        ids = dict(line.split(":", 1) for line in open(process).read().splitlines())
        assert ids["Uid"].split() == ["65532"] * 4 and ids["Gid"].split() == ["65532"] * 4
        assert ids["NSpid"].split()[-1] == "1"
        check = container.config["Healthcheck"]["Test"][1:]
        assert container.run(check, server.settings)[0] == 0
        assert server.stop() == 0, "SIGTERM drains, also as process 1"
    assert container.run(check, server.settings)[0] == 1
    status, output = container.run(["touch", "/x", "/var/cache/sluice/x"])
    assert status != 0 and output.count("Read-only file system") == 2


def test_it_serves_a_mounted_model_at_once(cpu, tmp_path):
    model = tmp_path / "a-model"
    shutil.copytree(images.ROOT / "models/sluice-tiny", model)
    model.chmod(0o755)
    # /mnt is there, as a mount point, in an image whose root cannot be written.
    with images.RunningServer(cpu, tmp_path / "log", ["serve", "/mnt"], mounts=[(model, "/mnt")]) as server:
        assert server.ask("/v1/models")[1]["data"][0]["id"] == "mnt"
        assert server.ask("/v1/completions", BODY)[0] == 200


def test_without_a_gpu_the_image_for_it_says_so(cuda, tmp_path):
    status, output = cuda.run([*cuda.config["Entrypoint"], *cuda.config["Cmd"]], {"SLUICE_PORT": str(images.free_port())})
    assert status == 1 and "cuda" in output.lower(), output
