"""Hosts and worker processes that are killed at random moments, again and again: every run ends exactly.

The moments come from a seed, so a failure can be repeated with the same ones, except for the timing of the machine.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Any

import pytest

from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess
from packages.durablehost.tests.e2e.orchestration import Orchestration
from packages.durablehost.tests.e2e.processes import children_of
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.figures import Figures
from packages.durablehost.tests.faults.hosts import (
    EXECUTING_CHUNK,
    LARGE_ITEMS,
    SETTINGS,
    Run,
    begin_run,
    let_pass,
    resume_run,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals and process lists are those of POSIX")

SEED = 1717
# A control message may stay invisible for half a minute after each kill, and for longer the more often it has come.
LONG_SECONDS = 1_200
CHUNKS = 100
KILLS_OF_WORKERS = 4
# The duration of an undisturbed run on the reference machine; on a slower one the kill comes earlier in the run.
RUN_SECONDS = 1.5
# So long that no chunk is late, however often its host is killed: the timers are there, and are canceled.
LIMITS = {"max_parallel": 7, "chunk_timeout": 86_400}


@pytest.mark.soak
def test_hosts_killed_at_random_moments_lose_nothing(running_host: RunningHost, soak_figures: Figures) -> None:
    """Gives each host a new run, while it also has to finish those of its predecessors."""
    kills, moments = 50, random.Random(SEED)
    runs: list[Run] = []
    began, port = time.monotonic(), 0
    with soak_figures.of(f"{kills} hosts killed at random moments of runs of {CHUNKS} chunks") as figures:
        for _ in range(kills):
            with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
                port = host.port
                runs.append(begin_run(host, CHUNKS))
                let_pass(moments.uniform(0, RUN_SECONDS))
                host.kill()
        with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
            for run in runs:
                run.assert_exact(LONG_SECONDS)
            figures += told(host, runs, time.monotonic() - began)


@pytest.mark.soak
def test_large_inputs_and_results_survive_killed_hosts(running_host: RunningHost, soak_figures: Figures) -> None:
    kills, moments = 10, random.Random(SEED)
    runs: list[Orchestration] = []
    port = 0
    with soak_figures.of(f"{kills} hosts killed at random moments of runs of 5 MB, in results of 1 MB") as figures:
        for _ in range(kills):
            with running_host(FEATURES_APP, environment=SETTINGS, port=port) as host:
                port = host.port
                runs.append(App(host.url).start("fanned", LARGE_ITEMS))
                let_pass(moments.uniform(0, RUN_SECONDS))
                host.kill()
        with running_host(FEATURES_APP, environment=SETTINGS, port=port):
            assert [run.output(LONG_SECONDS) for run in runs] == [LARGE_ITEMS] * kills
        figures.append(f"{kills} runs exact")


@pytest.mark.parametrize("hosts", [1, pytest.param(12, marks=pytest.mark.soak)])
def test_workers_killed_at_random_moments_lose_nothing(
    running_host: RunningHost, soak_figures: Figures, hosts: int
) -> None:
    """A few on each host, which waits longer and longer before it replaces one."""
    moments = random.Random(SEED)
    environment = {**SETTINGS, "FUNCTIONS_WORKER_PROCESS_COUNT": "2"}
    kills = hosts * KILLS_OF_WORKERS
    runs: list[Run] = []
    began = time.monotonic()
    with soak_figures.of(f"{kills} worker processes killed at random moments of runs of {CHUNKS} chunks") as figures:
        for _ in range(hosts):
            with running_host(CHECKOUT, environment=environment) as host:
                for _ in range(KILLS_OF_WORKERS):
                    runs.append(begin_run(host, CHUNKS))
                    let_pass(moments.uniform(0, RUN_SECONDS))
                    kill_a_worker(host, moments)
                for run in runs[-KILLS_OF_WORKERS:]:
                    run.assert_exact(LONG_SECONDS)
        figures += told(host, runs, time.monotonic() - began)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_runs_with_limits_lose_nothing_to_killed_hosts(running_host: RunningHost, kills: int) -> None:
    moments = random.Random(SEED)
    runs: list[Run] = []
    port = 0
    for _ in range(kills):
        with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
            port = host.port
            runs.append(begin_run(host, CHUNKS, **LIMITS))
            let_pass(moments.uniform(0, RUN_SECONDS))
            host.kill()
    with running_host(CHECKOUT, environment=SETTINGS, port=port):
        for run in runs:
            run.assert_exact(LONG_SECONDS)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_runs_that_are_terminated_and_resumed_lose_nothing_to_killed_hosts(
    running_host: RunningHost, kills: int
) -> None:
    """Kills the host of each run, has the next one terminate the run, and resumes it on another."""
    moments = random.Random(SEED)
    earlier: Run | None = None
    port = 0
    for _ in range(kills):
        with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
            port = host.port
            run = resume_run(host, earlier) if earlier else begin_run(host, CHUNKS, **LIMITS)
            let_pass(moments.uniform(0, RUN_SECONDS))
            host.kill()
        with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
            run.orchestration.terminate("to be resumed")
            if run.orchestration.end(LONG_SECONDS)["runtimeStatus"] == "Terminated":
                earlier = run
    with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
        (run if earlier is None else resume_run(host, earlier)).assert_exact(LONG_SECONDS)


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_chunks_that_are_late_because_a_host_was_killed_are_processed_by_a_resumed_run(
    running_host: RunningHost, kills: int
) -> None:
    moments = random.Random(SEED)
    runs: list[Run] = []
    port = 0
    for _ in range(kills):
        with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
            port = host.port
            runs.append(begin_run(host, CHUNKS, max_parallel=7, chunk_timeout=1))
            let_pass(moments.uniform(0, RUN_SECONDS))
            host.kill()
    with running_host(CHECKOUT, environment=SETTINGS, port=port) as host:
        for run in runs:
            output = run.orchestration.end(LONG_SECONDS)["output"]
            if is_whole(output):
                run.assert_exact()
            else:
                resume_run(host, run, **LIMITS).assert_exact(LONG_SECONDS)


def is_whole(output: Any) -> bool:
    """Whether no chunk failed, after asserting that all others were late; text is the reason of a failed run."""
    if isinstance(output, str):
        assert "ChunkTimeout: " in output
        return False
    failures = [result["error"]["type"] for result in output["results"] if result["status"] == "failed"]
    assert set(failures) <= {"ChunkTimeout"}
    return not failures


def kill_a_worker(host: HostProcess, moments: random.Random) -> None:
    killed = moments.choice(eventually_blocking(lambda: children_of(host.pid)))
    os.kill(killed, signal.SIGKILL)
    # A function that dies with its process is answered with 500, and the next run is to be accepted.
    eventually_blocking(lambda: killed not in children_of(host.pid))


def told(host: HostProcess, runs: list[Run], seconds: float) -> list[str]:
    """Asserts that every run was exact."""
    repeated = host.output.count(EXECUTING_CHUNK) - sum(run.chunks for run in runs)
    return [f"{len(runs)} runs exact", f"{repeated} activities repeated", f"{seconds:.0f} s"]
