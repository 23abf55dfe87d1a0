"""The arguments and the output of every script of a peer.

`python SCRIPT N,N ADDRESS` warms up, then prints one JSON line: the figures of each N. A script is run by the Python of
its peer's environment, so it imports the standard library and that peer only.
"""

import json
import socket
import sys
import time

WARM_UP_CHUNKS = 20
TIMEOUT_SECONDS = 900


def numbers():
    return [int(each) for each in sys.argv[1].split(",")]


def address():
    return sys.argv[2]


def answer(run):
    """`run(chunks)` fans out, waits, and returns how many ran."""
    timed(run, WARM_UP_CHUNKS)
    print(json.dumps({chunks: timed(run, chunks) for chunks in numbers()}), flush=True)


def timed(run, chunks):
    began = time.perf_counter()
    ran = run(chunks)
    seconds = time.perf_counter() - began
    if ran != chunks:
        sys.exit(f"{ran} of {chunks} activities ran")
    return {"seconds": seconds}


def free_port():
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return candidate.getsockname()[1]
