"""Holds one thread of a server still, from outside, while the others run: as a device that hangs would."""
import contextlib
import ctypes
import os
import pathlib

import pytest

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # __WALL: waitpid for threads too
MAX_TRIES = 20
REQUESTS = 4  # of each kind: connections go to the threads of the HTTP server in turn

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def call(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        pytest.skip(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")


def thread_named(pid, name):
    """The id of the one thread of `pid` with this name."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    found = [int(task.name) for task in tasks if (task / "comm").read_text().strip() == name]
    assert len(found) == 1, f"{len(found)} threads of process {pid} are called {name}"
    return found[0]


def is_in_nobodys_way(server):
    """Whether each of the server's threads still answers; a few requests reach all of them."""
    return all(server.status("/metrics") == 200 and server.status("/health/live") == 200 for _ in range(REQUESTS))


@contextlib.contextmanager
def held(server, name):
    """Stops the thread of `server` that is called `name`, at a point where it holds no lock that others need."""
    thread = thread_named(server.process.pid, name)
    for _ in range(MAX_TRIES):
        call(SEIZE, thread)
        try:
            call(INTERRUPT, thread)
            os.waitpid(thread, WALL)
            if is_in_nobodys_way(server):
                yield thread
                return
        finally:  # else a failed test would wait for ever for the end of a process that is held
            libc.ptrace(DETACH, thread, None, None)  # fails where the thread has ended
    raise AssertionError(f"{name} was in other threads' way each time")


def reap(thread):
    """Waits for the end of a held thread; the kernel reports the end of its process only after that."""
    os.waitpid(thread, WALL)
