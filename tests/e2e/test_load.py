"""Many at once: clients that leave, clients that do not read, and that nobody else notices."""
import contextlib
import json
import random
import selectors
import subprocess
import threading

from harness import BINARY, SOCKET_LIMIT_S, stream_request, stream_text, wait_for

NUM_STREAMS = 200
NUM_CLIENTS = 32


def test_leaving_in_mid_stream_cancels(server):
    with contextlib.closing(server.connect()) as connection:
        connection.sendall(stream_request(prompt="Leaving", max_tokens=10_000))
        while b"data: " not in connection.recv(65536):
            pass
        assert server.metric("vllm:num_requests_running") == 1
        assert server.metric("vllm:kv_cache_usage_perc") > 0
    server.wait_until_idle()


def test_leaving_before_the_first_token_cancels(server):
    with contextlib.closing(server.connect()) as connection:
        connection.sendall(stream_request(prompt=[7] * 12_000, max_tokens=4000))
        wait_for(lambda: server.metric("vllm:num_requests_running") == 1, 30, "running")
    server.wait_until_idle()


def test_two_hundred_streams_with_random_cancels_leave_no_block_in_use(server):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    selector = selectors.DefaultSelector()
    received, texts = {}, []
    for i in range(NUM_STREAMS):
        connection = server.connect()
        prompt = [1] + [50 + i] * rng.randrange(1, 200)
        connection.sendall(stream_request(prompt=prompt, max_tokens=rng.randrange(1, 60), n=rng.choice([1, 1, 2])))
        # How many bytes this client reads before it hangs up; half of them stay to the end.
        limit = rng.randrange(1, 6000) if rng.random() < 0.5 else None
        selector.register(connection, selectors.EVENT_READ, limit)
        received[connection] = b""
    while selector.get_map():
        for key, _ in selector.select():
            connection, limit = key.fileobj, key.data
            more = connection.recv(65536)
            received[connection] += more
            if not more or (limit is not None and len(received[connection]) >= limit):
                selector.unregister(connection)
                connection.close()
                if not more:
                    texts.append(stream_text(received[connection]))
    assert len(texts) >= NUM_STREAMS // 4
    server.wait_until_idle()


def read_all(server, request, results, index):
    """Reads one stream to its end; its text goes to results[index]."""
    with contextlib.closing(server.connect()) as connection:
        connection.sendall(request)
        data = b""
        while more := connection.recv(65536):
            data += more
    results[index] = stream_text(data)


def run_clients(server, max_tokens):
    results = [None] * NUM_CLIENTS
    threads = []
    for i in range(NUM_CLIENTS):
        request = stream_request(prompt=f"Client {i}:", max_tokens=max_tokens)
        threads.append(threading.Thread(target=read_all, args=(server, request, results, i)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert all(results)
    return results


def test_a_byte_a_second_beside_thirty_two_clients(server):
    """The 32 get the same texts beside the slow one, and all of them while it is still at its first bytes."""
    expected = run_clients(server, max_tokens=48)
    with contextlib.closing(server.connect(receive_buffer=4096)) as slow:
        slow.sendall(stream_request(prompt="Slow", max_tokens=4000))
        stop = threading.Event()
        read = []

        def crawl():
            while not stop.wait(1):
                read.append(slow.recv(1))

        crawler = threading.Thread(target=crawl)
        crawler.start()
        assert run_clients(server, max_tokens=48) == expected
        stop.set()
        crawler.join()
        assert all(read), "the slow client was cut off while others were served"
    server.wait_until_idle()


def test_the_bench_of_the_fronts_reads_every_token(tmp_path):
    found = tmp_path / "found.json"
    command = [BINARY, "bench", "frontend", "--streams", "4", "--output-len", "50", "--step-ms", "2", "--json", found]
    subprocess.run(command, check=True, timeout=SOCKET_LIMIT_S)
    rows = json.loads(found.read_text())["results"]
    assert [(row["front"], row["streams"]) for row in rows] == [("http", 4), ("grpc", 4)]
    for row in rows:
        assert row["tokens"] > 0 and row["tokens_per_cpu_s"] > 0
        assert 0 < row["events_per_token"] <= 1
