"""Celery: a chord on Redis, with its worker of as many processes as there are cores."""

import os
import subprocess
import sys
from pathlib import Path

from celery import Celery, chord
from fan_out import TIMEOUT_SECONDS, address, answer

# The worker imports this file by its name, and reads the address from the environment.
ADDRESS = os.environ.get("BENCH_REDIS") or address()

app = Celery("celery_chord", broker=ADDRESS, backend=ADDRESS)


@app.task(name="nothing")
def nothing(chunk):
    return chunk


@app.task(name="count")
def count(results):
    return len(results)


def main():
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_chord", "worker", "--loglevel", "ERROR"],
        cwd=Path(__file__).parent,
        env={**os.environ, "BENCH_REDIS": ADDRESS},
        stdout=sys.stderr,
    )
    try:
        answer(
            lambda chunks: chord(nothing.s(chunk) for chunk in range(chunks))(count.s()).get(timeout=TIMEOUT_SECONDS)
        )
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
