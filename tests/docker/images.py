"""Images without a container engine: buildah builds them from a Debian made here, a chroot runs them as they ask to be.

Everything lies in build/docker: the store, and so the compiler's cache between two builds. Needs root.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STATE = ROOT / "build/docker"
CERTIFICATES = pathlib.Path("/usr/local/share/ca-certificates")  # this machine's own authorities
CUDA = pathlib.Path("/usr/local/cuda")
# What nvcc and CMake read of a toolkit, relative to it.
CUDA_PARTS = ["bin", "nvvm", "include", "targets", "lib64/cmake", "lib64/stubs"]
CUDA_LIBRARIES = ["libcudart*", "libcublas*", "libcudadevrt.a", "libculibos.a"]
BUILD_LIMIT_S = 4 * 3600
START_LIMIT_S = 60


def why_not():
    """What this machine lacks, in words; empty if images can be built."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in ("buildah", "debootstrap", "unshare") if not shutil.which(tool)]
    return f"apt-get install {' '.join(missing)} first" if missing else ""


def buildah(*arguments, limit_s=600, **options):
    """What buildah prints, on our own store. vfs needs nothing of the machine."""
    store = ["--root", STATE / "store", "--runroot", STATE / "run", "--storage-driver", "vfs"]
    done = subprocess.run(["buildah", *store, *arguments], capture_output=True, text=True, timeout=limit_s, **options)
    assert done.returncode == 0, f"buildah {arguments[0]} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def exists(image):
    return f"localhost/{image}" in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()


@contextlib.contextmanager
def working_container(source):
    name = buildah("from", "--pull-never", source)
    try:
        yield name
    finally:
        buildah("rm", name)


def make_debian():
    """debian:12 out of the distribution's packages, with this machine's certificate authorities."""
    if exists("debian:12"):
        return
    STATE.mkdir(parents=True, exist_ok=True)
    root = STATE / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with working_container("scratch") as container:
        buildah("copy", container, root, "/")
        if CERTIFICATES.is_dir():
            buildah("copy", container, CERTIFICATES, CERTIFICATES)
            buildah("run", "--isolation", "chroot", container, "--", "update-ca-certificates")
        buildah("commit", "--format", "docker", container, "localhost/debian:12")
    shutil.rmtree(root)
    buildah("tag", "localhost/debian:12", "localhost/debian:12-slim")


def make_cuda():
    """Stand-ins for NVIDIA's image and Ubuntu: this machine's toolkit on Debian."""
    make_debian()
    image = "nvidia/cuda:13.0.1-devel-ubuntu24.04"
    if exists(image):
        return
    parts = [CUDA / part for part in CUDA_PARTS]
    parts += [file for pattern in CUDA_LIBRARIES for file in (CUDA / "lib64").glob(pattern)]
    with working_container("localhost/debian:12") as container:
        place = pathlib.Path(buildah("mount", container)) / "usr/local/cuda"
        for part in filter(pathlib.Path.exists, parts):
            target = place / part.relative_to(CUDA)
            target.parent.mkdir(parents=True, exist_ok=True)
            source = part.resolve() if part.is_dir() else part  # libraries have names that are links
            subprocess.run(["cp", "-a", source, target], check=True)
        (place / "lib").symlink_to("lib64")  # toolkits differ in which of the two is the link
        buildah("config", "--env", f"PATH={CUDA}/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        buildah("config", "--env", f"LIBRARY_PATH={CUDA}/lib64/stubs", container)
        buildah("config", "--env", f"LD_LIBRARY_PATH={CUDA}/lib64", container)
        buildah("commit", "--format", "docker", container, f"localhost/{image}")
    buildah("tag", "localhost/debian:12", "localhost/ubuntu:24.04")


def build(dockerfile, tag, commit):
    """Builds docker/`dockerfile` from this checkout as a person would."""
    arguments = ["--isolation", "chroot", "--format", "docker", "--layers=false", "--pull-never"]
    arguments += ["--build-arg", f"COMMIT={commit}", "-t", tag, "-f", f"docker/{dockerfile}", "."]
    buildah("build", *arguments, limit_s=BUILD_LIMIT_S, cwd=ROOT)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Container:
    """An image's files and settings. It runs with a root that is read-only, as the first process of its own space."""

    def __init__(self, image):
        self.name = buildah("from", "--pull-never", f"localhost/{image}")
        self.root = pathlib.Path(buildah("mount", self.name))
        self.config = json.loads(buildah("inspect", "--type", "image", f"localhost/{image}"))["Docker"]["config"]

    def remove(self):
        buildah("rm", self.name)

    def start(self, command, environment=(), mounts=(), **options):
        """A process of `command`; `mounts`: (folder of ours, folder of the image's), read-only."""
        script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount -t proc proc "$0/proc"'
        for source, target in mounts:
            script += f' && mount --bind "{source}" "$0{target}" && mount -o remount,bind,ro "$0{target}"'
        script += f' && exec chroot --userspec={self.config["User"]} "$0" "$@"'
        settings = dict(entry.split("=", 1) for entry in self.config["Env"])
        space = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, self.root]
        return subprocess.Popen([*space, *command], env={**settings, **dict(environment)}, text=True, **options)

    def run(self, command, environment=()):
        """(status, output) of a command that ends by itself."""
        process = self.start(command, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = process.communicate(timeout=60)[0]
        return process.returncode, output


class RunningServer:
    """`docker run IMAGE` with a free port and further settings."""

    def __init__(self, container, log, arguments=None, environment=(), mounts=()):
        self.container = container
        self.port = free_port()
        self.settings = {"SLUICE_PORT": str(self.port), "SLUICE_GRPC_PORT": str(free_port()), **dict(environment)}
        command = container.config["Entrypoint"] + (arguments or container.config["Cmd"])
        with open(log, "w") as output:
            self.process = container.start(command, self.settings, mounts, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_LIMIT_S
        while self.ask("/health/ready")[0] != 200:
            assert self.process.poll() is None and time.monotonic() < deadline, pathlib.Path(log).read_text()
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ask(self, path, body=None):
        """(status, answer) over HTTP; status 0 if nobody is there."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return 0, None

    def pid(self):
        """Of the server, as seen from here."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(children) == 1
        return int(children[0])

    def stop(self):
        """The exit status after SIGTERM."""
        os.kill(self.pid(), signal.SIGTERM)
        return self.process.wait(60)
