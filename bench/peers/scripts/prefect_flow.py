"""Prefect: the tasks of one flow, and the server that Prefect starts in a process of its own if none is configured.

The states of the tasks are still on their way to the server when the flow ends; both times are reported.
"""

import json
import os
import time
from pathlib import Path

# Read when Prefect is imported: its data in the folder of the run, and nothing sent to anybody.
os.environ |= {
    "PREFECT_HOME": str(Path.cwd() / "prefect"),
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}

from fan_out import TIMEOUT_SECONDS, WARM_UP_CHUNKS, numbers
from prefect import flow, runtime, task
from prefect.client.orchestration import get_client
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

PAUSE_SECONDS = 0.1
# By default there would be a thread for each task.
THREADS = 20


@task(name="nothing")
def nothing(chunk):
    return chunk


@flow(name="fan-out", task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def fan_out(chunks):
    ended = wait(nothing.map(range(chunks))).done
    return str(runtime.flow_run.id), len(ended)


def timed(client, chunks):
    began = time.perf_counter()
    run_id, ran = fan_out(chunks)
    seconds = time.perf_counter() - began
    assert ran == chunks, f"{ran} of {chunks} tasks ran"
    wait_until_stored(client, run_id, chunks)
    return {"seconds": seconds, "settled_seconds": time.perf_counter() - began}


def wait_until_stored(client, run_id, chunks):
    completed = {"flow_runs": {"id": {"any_": [run_id]}}, "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while client.request("POST", "/task_runs/count", json=completed).json() < chunks:
        assert time.monotonic() < deadline, "the states of the tasks were not stored in time"
        time.sleep(PAUSE_SECONDS)


def main():
    with get_client(sync_client=True) as client:
        timed(client, WARM_UP_CHUNKS)
        print(json.dumps({chunks: timed(client, chunks) for chunks in numbers()}), flush=True)


if __name__ == "__main__":
    main()
