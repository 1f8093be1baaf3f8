"""Holds one thread of a server still, from outside, while the others run: as a device that hangs would."""
import ctypes
import os
import pathlib

import pytest

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # __WALL: waitpid for threads too
MAX_TRIES = 20

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


def hold(server, name):
    """Stops the thread of `server` that is called `name`, at a point where it holds no lock that others need."""
    thread = thread_named(server.process.pid, name)
    for _ in range(MAX_TRIES):
        call(SEIZE, thread)
        call(INTERRUPT, thread)
        os.waitpid(thread, WALL)
        if server.status("/metrics") == 200:
            return thread
        release(thread)
    raise AssertionError(f"{name} was in other threads' way each time")


def release(thread):
    call(DETACH, thread)


def reap(thread):
    """Waits for the end of a held thread; the kernel reports the end of its process only after that."""
    os.waitpid(thread, WALL)
