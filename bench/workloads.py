"""Measures the durable workloads of applications, on durablehost and, where there is one, on the real engine.

Rule of this file: both hosts run the same app on an Azurite of their own, in turn, so that a drift of the machine
affects both. An environment variable names the folder of the real engine, which is no part of the project.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.caller import Caller, Host, calling
from bench.errors import BenchError
from bench.figures import Figures, Measured, Say
from bench.stack import HUB, ROOT, running_azurite, running_host
from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.interop.engine import VARIABLE, RealEngine

APP = ROOT / "bench" / "apps" / "workloads"
DURABLEHOST, ENGINE = "durablehost", "real engine"

# Events that a client sends side by side.
AT_ONCE = 20

Workload = Callable[[Caller], Awaitable[float]]


def measure_workloads(folder: Path, runs: int, say: Say) -> Iterator[Measured]:
    engine = os.environ.get(VARIABLE)
    if not engine:
        say(f"workloads: durablehost alone; {VARIABLE} names no folder with the real engine")
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in WORKLOADS}
    for run in range(runs):
        for host in (DURABLEHOST, ENGINE) if engine else (DURABLEHOST,):
            with running_azurite(folder) as azurite, _running(host, azurite, folder) as running:
                for name, figure in asyncio.run(_measured(running, azurite)).items():
                    seconds[name].setdefault(host, []).append(figure)
                    say(f"{name}, run {run + 1}, {host}: {figure:.3f}")
    for name, by_host in seconds.items():
        yield "workloads", name, _figures(by_host)


def _figures(by_host: dict[str, list[float]]) -> Figures:
    medians: Figures = {host: statistics.median(figures) for host, figures in by_host.items()}
    if ENGINE in medians:
        medians["ratio"] = medians[DURABLEHOST] / medians[ENGINE] if medians[ENGINE] > 0 else None
    return {**medians, "runs": len(by_host[DURABLEHOST])}


@contextmanager
def _running(host: str, azurite: Azurite, folder: Path) -> Iterator[Host]:
    if host == DURABLEHOST:
        with running_host(azurite.ports, folder, app=APP) as running:
            yield running
        return
    log_file = folder / f"engine-{time.monotonic_ns()}.log"
    engine_folder = Path(os.environ[VARIABLE]).resolve()
    with RealEngine(
        engine_folder, APP, hub_name=HUB, connection_string=azurite.connection_string, log_file=log_file
    ) as engine:
        yield engine


async def _measured(host: Host, azurite: Azurite) -> dict[str, float]:
    async with calling(host, azurite.ports) as caller:
        for kind in ("chain", "fan"):
            await _work(caller, 10, kind=kind, count=10)
        await _work(caller, 0, kind="signals", count=10, entities=1)
        seconds = {}
        for name, measure in WORKLOADS.items():
            # What one workload leaves to be deleted must not slow down the next.
            await caller.until_settled()
            seconds[name] = await measure(caller)
        return seconds


async def _work(caller: Caller, expected: object, **given: Any) -> float:
    """The seconds that one orchestration takes from the request to its completion."""
    began = time.perf_counter()
    output = await caller.output_of((await caller.start_directly("work", given))["id"])
    seconds = time.perf_counter() - began
    # The result of a call is not ordered after the signals to other entities.
    if expected is not None and given["kind"] != "signals" and output != expected:
        raise BenchError(f"The work {given} returned {output}.")
    return seconds


def _one(expected: object, **given: Any) -> Workload:
    return lambda caller: _work(caller, expected, **given)


def _events(count: int) -> Workload:
    async def measured(caller: Caller) -> float:
        links = await caller.start_directly("work", {"kind": "events", "count": count})
        await caller.until_running(links["id"])
        began = time.perf_counter()
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            await asyncio.gather(*(caller.raise_event(links, "go", number) for number in numbers))
        await caller.output_of(links["id"])
        return time.perf_counter() - began

    return measured


def _lateness(seconds: float) -> Workload:
    """How many milliseconds after its time a timer fires; negative if before."""

    async def measured(caller: Caller) -> float:
        links = await caller.start_directly("work", {"kind": "timer", "seconds": seconds})
        return float(await caller.output_of(links["id"]))

    return measured


def _many(instances: int, activities: int) -> Workload:
    async def measured(caller: Caller) -> float:
        began = time.perf_counter()
        given = {"kind": "chain", "count": activities}
        started = await asyncio.gather(*(caller.start_directly("work", given) for _ in range(instances)))
        for links in started:
            await caller.output_of(links["id"])
        return time.perf_counter() - began

    return measured


# In seconds, but where the name says otherwise.
WORKLOADS: dict[str, Workload] = {
    "400 events to one instance": _events(400),
    "1,000 events to one instance": _events(1000),
    "3 retries of 1.5 s": _one(3, kind="retries", failures=3, milliseconds=1500),
    "timer of 1.5 s: ms late": _lateness(1.5),
    "timer of 0.2 s: ms late": _lateness(0.2),
    "one activity": _one(1, kind="chain", count=1),
    "chain of 20 activities": _one(20, kind="chain", count=20),
    "500 signals and a call to 1 entity": _one(None, kind="signals", count=500, entities=1),
    "500 signals and a call to each of 50 entities": _one(None, kind="signals", count=500, entities=50),
    "continue as new 50 times": _one(50, kind="again", count=50, left=50),
    "fan-out of 100": _one(100, kind="fan", count=100),
    "fan-out of 1,000, flat": _one(1000, kind="fan", count=1000),
    "fan-out of 1,000, in groups of 100": _one(1000, kind="groups", count=1000),
    "200 instances of 3 activities": _many(200, 3),
}
