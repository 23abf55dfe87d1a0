"""More simultaneous work than in practice: it queues, nothing is lost, and the memory of the host stays flat."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from durablehost.emulator import azurite as emulator
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import FEATURES_APP, App
from packages.durablehost.tests.e2e.host_process import CHECKOUT, HostProcess
from packages.durablehost.tests.faults.figures import Figures
from packages.durablehost.tests.faults.hosts import Run, begin_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its process lists are those of POSIX")

CALLERS = 16
# A round for each minute of an hour of constant use.
ROUNDS = 60
LONG_SECONDS = 1_800


@pytest.fixture
def azurite(azurite: emulator.Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Azurite]:
    """Starts an emulator for this test alone, because the shared one gets slower with the data of other tests."""
    with emulator.start(location=tmp_path_factory.mktemp("azurite"), ports=emulator.free_ports()) as running:
        yield running


def begin_many(host: HostProcess, runs: int, chunks: int) -> Sequence[Run]:
    """Starts runs from parallel callers; an answer other than 202 fails the test."""
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda _: begin_run(host, chunks), range(runs)))


def assert_all_exact(runs: Sequence[Run], timeout_seconds: float) -> None:
    for run in runs:
        run.assert_exact(timeout_seconds)


def memory_megabytes(host: HostProcess) -> int:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(host.pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) // 1024


def test_twenty_runs_at_once_all_end_exactly(running_host: RunningHost) -> None:
    with running_host(CHECKOUT) as host:
        assert_all_exact(begin_many(host, 20, 10), timeout_seconds=120)


@pytest.mark.soak
def test_two_hundred_runs_at_once_all_end_exactly(running_host: RunningHost, soak_figures: Figures) -> None:
    with running_host(CHECKOUT) as host, soak_figures.of("200 runs of 10 chunks at once") as figures:
        began = time.monotonic()
        runs = begin_many(host, 200, 10)
        assert_all_exact(runs, LONG_SECONDS)
        figures += [f"{len(runs)} accepted, {len(runs)} exact", f"{time.monotonic() - began:.0f} s"]


@pytest.mark.soak
@pytest.mark.parametrize("chunks", [5_000, 10_000])
def test_a_run_of_thousands_of_chunks_ends_exactly(
    running_host: RunningHost, soak_figures: Figures, chunks: int
) -> None:
    with running_host(CHECKOUT) as host, soak_figures.of(f"1 run of {chunks} chunks, in groups of 100") as figures:
        began = time.monotonic()
        begin_run(host, chunks).assert_exact(LONG_SECONDS)
        figures += ["exact", f"{time.monotonic() - began:.0f} s", f"{memory_megabytes(host)} MB at its end"]


@pytest.mark.soak
def test_two_thousand_waiting_instances_do_not_delay_a_running_one(
    running_host: RunningHost, soak_figures: Figures
) -> None:
    with running_host(FEATURES_APP) as host, soak_figures.of("1 run beside 2000 waiting instances") as figures:
        app = App(host.url)
        with ThreadPoolExecutor(CALLERS) as callers:
            waiting = list(callers.map(lambda _: app.start("awaited", ["Never"]), range(2_000)))
        began = time.monotonic()
        assert app.start("fanned", list(range(50))).output(LONG_SECONDS) == list(range(50))
        figures += [f"{len(waiting)} waiting", f"50 activities beside them in {time.monotonic() - began:.1f} s"]
        assert {run.status()["runtimeStatus"] for run in waiting[::200]} <= {"Running", "Pending"}


@pytest.mark.soak
def test_the_memory_of_the_host_stays_flat(running_host: RunningHost, soak_figures: Figures) -> None:
    """Repeats equal rounds of runs; the second half must not need more memory than the first."""
    with running_host(CHECKOUT) as host, soak_figures.of(f"{ROUNDS} rounds of 20 runs of 10 chunks") as figures:
        seen = []
        for _ in range(ROUNDS):
            assert_all_exact(begin_many(host, 20, 10), LONG_SECONDS)
            seen.append(memory_megabytes(host))
        middle = seen[ROUNDS // 2]
        figures += [
            f"memory of the host {seen[0]} MB at the start, {middle} MB in the middle, {seen[-1]} MB at the end"
        ]
        assert seen[-1] <= 1.15 * middle + 5, seen
