"""Generated programs whose episodes are lost after they have sent their messages, and repeated with other messages.

Several lanes of steps run side by side, and each result makes its lane schedule the next step. So the task ids of an
episode depend on the results that came together, and a repeated episode gives the ids of the lost one to other work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import given, settings
from hypothesis import strategies as st

from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.replay.simulation import Simulation
from packages.durablehost.tests.replay.test_agreement import Flaky
from packages.durablehost.tests.replay.test_events import raised

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
Lanes = list[list[str]]

STEPS = st.sampled_from(["work", "work", "retry", "timer", "child", "entity", "event"])
LANES = st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=2, max_size=5)


def begin(context: Context, step: str, name: str) -> Any:
    if step == "work":
        return context.call_activity("echo", name)
    if step == "retry":
        return context.call_activity_with_retry("flaky", df.RetryOptions(1000, 2), {"key": name, "fails": 1})
    if step == "child":
        return context.call_sub_orchestrator("child", name)
    if step == "entity":
        return context.call_entity(df.EntityId("echo_entity", "one"), "say", name)
    if step == "event":
        return context.wait_for_external_event(name)
    return context.create_timer(context.current_utc_datetime + timedelta(seconds=1))


def program(lanes: Lanes) -> Any:
    """Runs all lanes; returns the results of each."""

    def run(context: Context) -> Generator[Any, Any, Any]:
        results: list[list[Any]] = [[] for _ in lanes]
        running = {i: begin(context, lane[0], f"{i}.0") for i, lane in enumerate(lanes)}
        while running:
            winner = yield context.task_any(list(running.values()))
            i = next(i for i, task in running.items() if task is winner)
            del running[i]
            results[i].append(winner.result)
            done = len(results[i])
            if done < len(lanes[i]):
                running[i] = begin(context, lanes[i][done], f"{i}.{done}")
        return results

    return run


def child(context: Context) -> Generator[Any, Any, Any]:
    return (yield context.call_activity("echo", context.get_input()))


def echo_entity(context: Any) -> None:
    context.set_result(context.get_input())


@settings(max_examples=150, deadline=None)
@given(LANES, st.integers(0, 2**32))
def test_a_result_reaches_only_the_task_that_asked_for_it(lanes: Lanes, seed: int) -> None:
    simulation = Simulation(
        {"run": program(lanes), "child": child},
        {"echo": lambda value: value, "flaky": Flaky()},
        {"echo_entity": echo_entity},
        seed=seed,
        losses=0.3,
        duplicates=0.2,
    )
    expected = [
        [None if step == "timer" else f"{i}.{j}" for j, step in enumerate(lane)] for i, lane in enumerate(lanes)
    ]
    names = [f"{i}.{j}" for i, lane in enumerate(lanes) for j, step in enumerate(lane) if step == "event"]
    status, output = asyncio.run(simulation.run("run", events=[raised(name, name) for name in names]))
    assert (status, output) == (RuntimeStatus.COMPLETED, expected), json.dumps(lanes)
