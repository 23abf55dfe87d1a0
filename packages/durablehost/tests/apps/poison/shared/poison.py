"""What user code can do to the process that runs it."""

import ctypes
import os
import signal
import sys
import time


def take(how: str) -> None:
    """Does it. Whoever is harmless returns."""
    if how == "exit":
        sys.exit(3)
    if how == "base exception":
        raise BaseException("basis")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "os exit":
        os._exit(3)
    if how == "abort":
        os.abort()
    if how == "segmentation fault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "stack overflow":
        sys.setrecursionlimit(10**9)
        overflow()
    if how == "sleep":
        time.sleep(3600)
    if how == "loop":
        while True:
            pass


def overflow() -> None:
    # Through C code, whose frames fill the stack of the thread.
    sorted([0, 1], key=lambda _: overflow())
