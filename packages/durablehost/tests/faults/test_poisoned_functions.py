"""Orchestrators, entities and activities that end or block their process: only they fail."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from packages.durablehost.tests.e2e.conftest import RunningHost
from packages.durablehost.tests.e2e.features import App
from packages.durablehost.tests.e2e.host_process import APPS, HostProcess, call
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT, Orchestration, accepted
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.faults.figures import Figures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its signals are those of Linux")

APP = APPS / "poison"
FUNCTION_TIMEOUT = {"AzureFunctionsJobHost__functionTimeout": "00:00:08"}
BEGUN = "Executing 'Functions.poisoned'"
# Ways to end the process, with the expected reason.
ENDS = {
    "os exit": "python exited with code 3 (0x3).",
    "abort": "killed by SIGABRT.",
    "segmentation fault": "killed by SIGSEGV.",
    "stack overflow": "killed by SIGSEGV.",
    "kill": "killed by SIGKILL.",
}
RAISES = {"exit": "SystemExit: 3", "base exception": "BaseException: basis", "interrupt": "KeyboardInterrupt: "}
# Each poisoned call gets five trials with growing delays, one call after another.
LONG_SECONDS = 300
CALLERS = 4


def start(host: HostProcess, name: str, value: object) -> Orchestration:
    """Starts it through the host itself, because a function would share its process with the first poisoned call."""
    # The SDK's client sends JSON in JSON.
    return accepted(call("POST", f"{host.url}{MANAGEMENT}/orchestrators/{name}", json.dumps(value)))


def ping(host: HostProcess) -> None:
    assert call("GET", f"{host.url}/api/ping").body == b"pong"


def test_functions_that_crash_or_block_delay_no_others(running_host: RunningHost) -> None:
    with running_host(APP, environment=FUNCTION_TIMEOUT) as host:
        raising = {how: start(host, "poisoned", how) for how in RAISES}
        blocked = [start(host, "poisoned", how) for how in ("sleep", "loop")]
        crashing = [start(host, "poisoned", how) for how in ("os exit", "segmentation fault")]
        crashing += [start(host, "calls", [["breaking", "os exit"]]), start(host, "asks", ["abort"])]
        eventually_blocking(lambda: "killed by SIGSEGV" in host.output)
        for _ in range(3):
            run = App(host.url).start("healthy")
            ping(host)
            assert run.output() == 3
        # The delays between the trials alone take half a minute.
        for run in crashing:
            assert run.status()["runtimeStatus"] in ("Pending", "Running")
        assert crashing[0].terminate("enough").status == 202
        assert crashing[0].end()["runtimeStatus"] == "Terminated"
        assert crashing[0].purge().status == 200
        assert start(host, "asks", ["good", "fine"]).output() == [1, 2]
        for how, run in raising.items():
            assert f"Result: Failure\nException: {RAISES[how]}\nStack: " in run.failure()
        for run in blocked:
            assert run.failure() == (
                "Orchestrator function 'poisoned' failed: "
                "Timeout value of 00:00:08 was exceeded by function: Functions.poisoned"
            )


@pytest.mark.soak
def test_only_functions_that_end_their_process_fail(running_host: RunningHost) -> None:
    with running_host(APP) as host:
        orchestrators = {how: start(host, "poisoned", how) for how in ENDS}
        activities = {
            how: start(host, "calls", [["echo", {"seconds": 2}], ["breaking", how], ["echo", "beside"]]) for how in ENDS
        }
        entities = {how: start(host, "asks", ["good", how, "fine"]) for how in ENDS}
        innocent = [start(host, "poisoned", "harmless") for _ in range(10)]
        for run in innocent:
            assert run.output(LONG_SECONDS) == "harmless"
        for how, reason in ENDS.items():
            failure = orchestrators[how].failure(LONG_SECONDS)
            assert failure.startswith("Orchestrator function 'poisoned' failed: Language Worker Process exited.")
            assert failure.endswith(reason)
            assert orchestrators[how].purge().status == 200
            slept, failed, beside = activities[how].output(LONG_SECONDS)
            assert (slept, beside) == ({"seconds": 2}, "beside")
            assert failed.startswith("failed: Activity function 'breaking' failed: Language Worker Process exited.")
            assert reason in failed
            good, failed, fine = entities[how].output(LONG_SECONDS)
            assert (good, fine) == (1, 2)
            assert failed.startswith("failed: Entity function 'entity' failed: Language Worker Process exited.")
            assert failed.endswith(reason)


@pytest.mark.soak
def test_healthy_calls_are_nearly_as_fast_beside_poisoned_ones(
    running_host: RunningHost, soak_figures: Figures, tmp_path: Path
) -> None:
    seconds = 90
    with (
        # Azurite answers nothing while it saves its data, every 5 seconds, and this takes longer with more data.
        emulator.start(location=tmp_path / "azurite", ports=emulator.free_ports(), is_in_memory=True) as azurite,
        running_host(APP, environment={"AzureWebJobsStorage": azurite.connection_string}) as host,
        soak_figures.of("healthy load beside 8 crashing and 4 blocking orchestrators") as figures,
    ):
        load(host, 5)
        undisturbed = load(host, seconds)
        poisoned = [start(host, "poisoned", how) for how in ("os exit", "segmentation fault", "abort", "os exit")]
        poisoned += [start(host, "poisoned", how) for how in ("sleep", "sleep", "loop", "sleep")]
        poisoned += [start(host, "calls", [["breaking", "os exit"]]) for _ in range(4)]
        disturbed = load(host, seconds)
        for what, times in disturbed.items():
            before, after = percentile(undisturbed[what]), percentile(times)
            figures.append(f"{what}: p99 {after * 1000:.0f} ms, undisturbed {before * 1000:.0f} ms")
            print(figures[-1], f"({len(times)} and {len(undisturbed[what])} times; most {max(times):.2f} s)")  # noqa: T201
            # The aim is a factor of two plus the start of one process; the bound allows for a busy machine.
            assert after < 2 * before + 3
        # An orderly stop would wait for the blocked calls.
        host.kill()


def load(host: HostProcess, seconds: float) -> Mapping[str, list[float]]:
    """Returns the durations of the calls of a few busy callers, by kind; a failed call fails the test."""
    times: dict[str, list[float]] = {"HTTP": [], "start": [], "orchestration": []}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        times[what].append(time.monotonic() - began)

    def call_again_and_again(once: Callable[[], None]) -> None:
        while not is_over.is_set():
            once()

    def follow_one() -> None:
        with timed("orchestration"):
            with timed("start"):
                run = App(host.url).start("healthy")
            assert run.output() == 3

    def ask_once() -> None:
        with timed("HTTP"):
            ping(host)
        is_over.wait(0.02)

    is_over = threading.Event()
    with ThreadPoolExecutor(CALLERS) as callers:
        running = [callers.submit(call_again_and_again, once) for once in (follow_one, follow_one, ask_once, ask_once)]
        is_over.wait(seconds)
        is_over.set()
        for each in running:
            each.result()
    return times


def percentile(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
