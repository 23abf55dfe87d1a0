"""Misbehaves as its input says, in some ways only in its first run. Returns the name of the misbehaviour."""

import os
import re
import resource
import time
from pathlib import Path


def main(value: dict) -> str:
    how, mark = value["how"], Path(value["mark"])
    is_first = not mark.exists()
    mark.touch()
    if how == "exits" and is_first:
        os._exit(3)
    if how == "hangs":
        time.sleep(3600)
    if how == "exhausts memory":
        exhaust_memory()
    if how == "holds the interpreter":
        # No other thread of the process runs meanwhile.
        re.match("(a+)+$", 60 * "a" + "b")
    if how == "prints":
        for _ in range(80):
            print("x" * 100_000)  # noqa: T201
    if how == "forks" and os.fork() == 0:
        # The copy lives on for a while, with everything that it has inherited.
        time.sleep(2)
        os._exit(0)
    return how


def exhaust_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, hard))
    try:
        blocks = []
        while True:
            blocks.append(bytearray(10_000_000))
    finally:
        del blocks
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
