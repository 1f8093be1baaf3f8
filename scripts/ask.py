#!/usr/bin/env python3
"""Asks a running server one question and prints the answer; for scripts/quickstart. Standard library only.

    ask.py URL QUESTION --server-pid PID   waits until the server is ready, or its process has gone
    ask.py --free-port PORT                prints PORT, or any free port if it is taken
"""
import argparse
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request

READY_LIMIT_S = 60
POLL_S = 0.05


def free_port(wanted):
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    sys.exit("ask.py: no free port on 127.0.0.1")


def is_ready(url):
    try:
        with urllib.request.urlopen(url + "/health/ready", timeout=1):
            return True
    except OSError:  # refused, or an HTTP status of 400 and above
        return False


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_ready(url, pid):
    limit = time.monotonic() + READY_LIMIT_S
    while not is_ready(url):
        if not is_running(pid):
            sys.exit("The server ended before it was ready; its last lines above say why.")
        if time.monotonic() > limit:
            sys.exit(f"{url}/health/ready did not answer 200 within {READY_LIMIT_S} s.")
        time.sleep(POLL_S)


def ask(url, question):
    """The whole answer, greedily, so that it is the same every time."""
    body = {"model": "sluice-tiny", "messages": [{"role": "user", "content": question}], "temperature": 0}
    request = urllib.request.Request(
        url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        sys.exit(f"The server refused the question: {error.read().decode(errors='replace')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--free-port", type=int)
    parser.add_argument("--server-pid", type=int)
    parser.add_argument("url", nargs="?")
    parser.add_argument("question", nargs="?")
    arguments = parser.parse_args()
    if arguments.free_port is not None:
        print(free_port(arguments.free_port))
        return
    wait_until_ready(arguments.url, arguments.server_pid)
    answer = ask(arguments.url, arguments.question)
    print(f"\n  Question  {arguments.question}\n  Answer    {answer}", flush=True)


if __name__ == "__main__":
    main()
