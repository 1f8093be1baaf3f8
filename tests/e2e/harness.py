"""A real `sluice serve` on an ephemeral port, its metrics, and HTTP by hand for what no client library would send."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = pathlib.Path(os.environ.get("SLUICE_BINARY", ROOT / "build/cpu/server/sluice")).resolve()
MODEL = ROOT / "models/sluice-tiny"
MODEL_NAME = "sluice-tiny"
GOLDEN = json.loads((MODEL / "golden/golden.json").read_text())

START_LIMIT_S = 60
STOP_LIMIT_S = 60
SETTLE_LIMIT_S = 30
SOCKET_LIMIT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, limit_s, what):
    """Polls `condition` until it is true and returns the seconds that took; fails naming `what`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit_s, f"{what}: not within {limit_s} s"
        time.sleep(0.01)
    return time.monotonic() - start


class Server:
    """One server process. `with Server(...) as server:` waits until it is ready and stops it at the end.

    Every option is passed on: Server(max_num_seqs=4) is --max-num-seqs 4, and True is a bare flag.
    """

    def __init__(self, log_path, port=None, grpc_port=None, model=MODEL, **options):
        self.port = port or free_port()
        self.grpc_port = free_port() if grpc_port is None else grpc_port  # 0: none
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = pathlib.Path(log_path)
        command = [str(BINARY), "serve", str(model), "--port", str(self.port), "--grpc-port", str(self.grpc_port)]
        for name, value in options.items():
            command.append("--" + name.replace("_", "-"))
            command += [] if value is True else [str(value)]
        self.started = time.monotonic()
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        wait_for(self.is_ready_or_gone, START_LIMIT_S, "server ready")
        self.seconds_to_ready = time.monotonic() - self.started
        assert self.process.poll() is None, f"the server ended at start-up:\n{self.log()}"
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.terminate()
            self.wait()

    def is_ready_or_gone(self):
        return self.process.poll() is not None or self.status("/health/ready") == 200

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def wait(self):
        """The exit status; kills the process and fails if it does not end by itself."""
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end within {STOP_LIMIT_S} s:\n{self.log()}") from None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def status(self, path):
        """The status of GET `path`; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=SOCKET_LIMIT_S) as response:
            return response.read().decode()

    def post(self, path, body):
        """(status, parsed body) of a POST of `body`: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.exchange(request_bytes("POST", path, data))

    def metric(self, name):
        """The sum of a metric over its label sets."""
        values = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics"), re.M)
        assert values, f"/metrics has no {name}"
        return sum(map(float, values))

    def is_idle(self):
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
        return all(self.metric(name) == 0 for name in names)

    def wait_until_idle(self):
        wait_for(self.is_idle, SETTLE_LIMIT_S, "nothing running, waiting or holding blocks")

    # ---- HTTP by hand ----

    def connect(self, receive_buffer=None):
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(SOCKET_LIMIT_S)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def exchange(self, data):
        """Sends raw bytes; (status, parsed body) of the answer, after which the server or we hang up."""
        with contextlib.closing(self.connect()) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
                connection.sendall(data)
            return read_response(connection)


def request_bytes(method, path, body=b"", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_request(**body):
    """The bytes of a streaming completion; long enough to be interrupted unless `body` says otherwise."""
    defaults = {"model": MODEL_NAME, "prompt": "The", "max_tokens": 2000, "ignore_eos": True, "temperature": 0}
    return request_bytes("POST", "/v1/completions", json.dumps({**defaults, **body, "stream": True}).encode())


def read_response(connection):
    """(status, body) of one response with Content-Length or until the end; JSON parsed where it is JSON."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    with contextlib.suppress(ConnectionResetError):
        while length is None or len(body) < int(length[1]):
            more = connection.recv(65536)
            if not more:
                break
            body += more
    text = body.decode()
    return int(head.split()[1]), json.loads(text) if b"application/json" in head.lower() else text


def receive(connection):
    data = connection.recv(65536)
    assert data, "the server closed the connection without a whole answer"
    return data


def stream_events(data):
    """The parsed events of a whole stream's bytes (headers and chunk sizes included); fails unless [DONE] ends it."""
    events = re.findall(rb"data: (.*?)\r?\n\r?\n", data)
    assert events and events[-1] == b"[DONE]", f"the stream does not end in [DONE] but in {data[-200:]!r}"
    return [json.loads(event) for event in events[:-1]]


def stream_text(data):
    return "".join(choice["text"] for event in stream_events(data) for choice in event["choices"])
