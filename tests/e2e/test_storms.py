"""Crowds: a thousand slow readers, hundreds of clients that leave at once, a drain in mid-traffic. Each has its server."""
import contextlib
import json
import random
import re
import resource
import selectors
import socket
import struct
import threading
import time

import grpc
import pytest
from grpc_client import Client
from harness import MODEL_NAME, Server, read_response, request_bytes, stream_request, stream_text, wait_for

LONG = {"temperature": 0, "ignore_eos": True}
NUM_SLOW = 1000  # half of them read slowly, half not at all
LONG_NAME = "a-model-whose-name-is-in-every-event-" + "x" * 2000  # so that a few tokens fill a client's buffers
SLOW = {"model": LONG_NAME, "prompt": "Slow", "max_tokens": 8}
QUICK = {"model": LONG_NAME, "prompt": "Quick", "max_tokens": 20}
WRITE_TIMEOUT_S = 3
TICK_S = 0.2
CROWD_BYTES = NUM_SLOW * 128 * 1024  # what the crowd may cost the server: some 70 KB a client were measured
NUM_LEAVING = 300
NUM_DRAINED = 50


@pytest.fixture
def log_path(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def many_files():
    """Room for the sockets of the crowd on our side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_to_end(connection):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    return data


def ask(server, **body):
    with contextlib.closing(server.connect()) as connection:
        connection.sendall(stream_request(**body))
        return stream_text(read_to_end(connection))


def completions_ended(server):
    counts = re.findall(r'http_requests_total{[^}]*"/v1/completions"[^}]*} (\d+)', server.get("/metrics"))
    return sum(map(int, counts))


def read_slowly(connections):
    """Reads a little from each at every tick; the bytes of each, once all have ended."""
    received = dict.fromkeys(connections, b"")
    waiting = set(connections)
    while waiting:
        for connection in list(waiting):
            with contextlib.suppress(BlockingIOError):
                more = connection.recv(2048)
                received[connection] += more
                if not more:
                    waiting.discard(connection)
        time.sleep(TICK_S)
    return list(received.values())


def test_a_thousand_slow_readers_get_their_text_or_are_dropped(log_path, many_files):
    options = {"write_timeout": WRITE_TIMEOUT_S, "max_pending_bytes": "4KiB", "served_model_name": LONG_NAME}
    with Server(log_path, batch_invariant=True, **options) as server, contextlib.ExitStack() as stack:
        expected = ask(server, **SLOW)
        quick = ask(server, **QUICK)
        before = server.metric("process_resident_memory_bytes")
        crowd = []
        for _ in range(NUM_SLOW):
            connection = stack.enter_context(contextlib.closing(server.connect(receive_buffer=2048)))
            connection.sendall(stream_request(**SLOW))
            connection.setblocking(False)
            crowd.append(connection)
        grown = []
        texts = []
        reader = threading.Thread(target=lambda: texts.extend(map(stream_text, read_slowly(crowd[::2]))))
        reader.start()
        while reader.is_alive():  # beside the crowd others are served, and memory is bounded
            assert ask(server, **QUICK) == quick
            grown.append(server.metric("process_resident_memory_bytes") - before)
        reader.join()
        assert texts == [expected] * (NUM_SLOW // 2)
        print(f"the server grew by {max(grown) / 1e6:.0f} MB")
        assert max(grown) < CROWD_BYTES
        asked = NUM_SLOW + len(grown) + 2
        wait_for(lambda: completions_ended(server) == asked, 10 * WRITE_TIMEOUT_S, "the end of those who do not read")
        for connection in crowd[1::2]:
            connection.setblocking(True)
            assert b"[DONE]" not in read_to_end(connection), "a client that never read was waited for"


def test_a_server_started_with_few_files_takes_many_connections(log_path, many_files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    server = Server(log_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server, contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(contextlib.closing(server.connect()))
        assert server.status("/health/ready") == 200


def leave_over_http(server, rng):
    """Opens streams, reads a few bytes of each and closes them all at once, half of them with a reset."""
    connections = []
    for i in range(NUM_LEAVING):
        connection = server.connect()
        connection.sendall(stream_request(prompt=[1, 50 + i], n=rng.choice([1, 1, 3])))
        connections.append(connection)
    for connection in connections[:: NUM_LEAVING // 10]:
        connection.recv(rng.randrange(1, 2000))
    for connection in connections:
        if rng.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def leave_over_grpc(client, rng):
    sampling = {**LONG, "max_tokens": 2000}
    calls = [client.Generate(text=f"Leaving {i}", sampling=sampling) for i in range(NUM_LEAVING)]
    for call in calls[:: NUM_LEAVING // 10]:
        next(call)
    rng.shuffle(calls)
    for call in calls:
        call.cancel()


def test_hundreds_that_leave_at_once_leave_nothing_behind(log_path):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    with Server(log_path, batch_invariant=True) as server, Client(server.grpc_port) as client:
        canary = {"prompt": "The canary", "max_tokens": 150}
        expected = ask(server, **canary)
        client.learn()
        storms = [
            threading.Thread(target=leave_over_http, args=(server, random.Random(rng.random()))),
            threading.Thread(target=leave_over_grpc, args=(client, random.Random(rng.random()))),
        ]
        for storm in storms:
            storm.start()
        assert ask(server, **canary) == expected
        for storm in storms:
            storm.join()
        server.wait_until_idle()  # nothing runs, waits or holds a block
        assert ask(server, **canary) == expected
        server.wait_until_idle()


def test_fifty_streams_outlive_sigterm_and_new_ones_are_told(log_path):
    """Over HTTP and gRPC alike; as long as they run, new requests get 503 and UNAVAILABLE."""
    with Server(log_path) as server, Client(server.grpc_port) as client, contextlib.ExitStack() as stack:
        sampling = {**LONG, "max_tokens": 80}
        calls = [client.Generate(text="Drain", sampling=sampling) for _ in range(NUM_DRAINED // 2)]
        streams = []
        for _ in range(NUM_DRAINED // 2):
            connection = stack.enter_context(contextlib.closing(server.connect()))
            connection.sendall(stream_request(prompt="Drain", max_tokens=80))
            streams.append(connection)
        for call in calls:
            next(call)
        begun = [connection.recv(4096) for connection in streams]
        server.terminate()
        wait_for(lambda: server.status("/health/ready") == 503, 10, "not ready")
        body = {"model": MODEL_NAME, "prompt": "late", "max_tokens": 1}
        with contextlib.closing(server.connect()) as late:
            late.sendall(request_bytes("POST", "/v1/completions", json.dumps(body).encode()))
            status, answer = read_response(late)
        assert (status, answer["error"]["code"]) == (503, "unavailable")
        with pytest.raises(grpc.RpcError) as error:
            list(client.Generate(text="late"))
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        texts = {stream_text(data + read_to_end(connection)) for connection, data in zip(streams, begun, strict=True)}
        texts |= {"".join(choice.text for answer in call for choice in answer.choices) for call in calls}
        assert len(texts) == 1 and all(texts)
        assert server.wait() == 0, server.log()
        assert "cut off" not in server.log()
