"""Generated programs that continue as new again and again, and leave work behind each time.

Leftovers of an execution (cancelled timers, messages delivered twice, redelivered starts) reach the next executions
in any order, with checkpoints lost at random. They may not change the result of these executions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import given, settings
from hypothesis import strategies as st

from durablehost.core.history import ExecutionResumed, ExecutionSuspended, HistoryEvent
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.replay.simulation import Simulation
from packages.durablehost.tests.replay.test_agreement import Flaky
from packages.durablehost.tests.replay.test_events import raised
from packages.durablehost.tests.unit.core.examples import AT

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
Generations = list[list[str]]

STEPS = st.sampled_from(["work", "retry", "event", "race", "timer", "child", "entity"])
GENERATIONS = st.lists(st.lists(STEPS, min_size=0, max_size=3), min_size=2, max_size=4)


def names(generations: Generations) -> Iterator[tuple[str, str]]:
    """Every step with a name of its own."""
    for i, steps in enumerate(generations):
        for j, step in enumerate(steps):
            yield step, f"{i}.{j}"


def program(generations: Generations) -> Any:
    """Runs one execution for each generation; the results of all steps so far are the input of the next."""

    def run(context: Context) -> Generator[Any, Any, Any]:
        results = context.get_input() or {"generation": 0, "seen": []}
        generation = results["generation"]
        for j, step in enumerate(generations[generation]):
            results["seen"].append((yield from do(context, step, f"{generation}.{j}")))
        if generation + 1 == len(generations):
            return results["seen"]
        results["generation"] += 1
        context.continue_as_new(results)
        return None

    return run


def do(context: Context, step: str, name: str) -> Generator[Any, Any, Any]:
    if step == "work":
        return (yield context.call_activity("echo", name))
    if step == "retry":
        options = df.RetryOptions(1000, 2)
        return (yield context.call_activity_with_retry("flaky", options, {"key": name, "fails": 1}))
    if step == "child":
        # The same id in every generation: each call replaces the child of the one before.
        return (yield context.call_sub_orchestrator("child", name, "the-child"))
    if step == "entity":
        return (yield context.call_entity(df.EntityId("echo_entity", "one"), "say", name))
    if step == "timer":
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        return name
    event = context.wait_for_external_event(name)
    if step == "race":
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=2))
        if (yield context.task_any([event, timer])) == event:
            timer.cancel()
            return event.result
    return (yield event)


def child(context: Context) -> Generator[Any, Any, Any]:
    """Continues as new itself before it returns."""
    value = context.get_input()
    if not isinstance(value, list):
        yield context.call_activity("echo", value)
        context.continue_as_new([value])
        return None
    return (yield context.call_activity("echo", value[0]))


def echo_entity(context: Any) -> None:
    context.set_state(context.get_input())
    context.set_result(context.get_input())


@settings(max_examples=80, deadline=None)
@given(GENERATIONS, st.booleans(), st.integers(0, 2**32))
def test_leftovers_of_one_execution_change_nothing_in_the_next(
    generations: Generations, is_suspended: bool, seed: int
) -> None:
    simulation = Simulation(
        {"run": program(generations), "child": child},
        {"echo": lambda value: value, "flaky": Flaky()},
        {"echo_entity": echo_entity},
        seed=seed,
        losses=0.15,
        duplicates=0.2,
    )
    events: list[HistoryEvent] = [raised(name, name) for step, name in names(generations) if step in ("event", "race")]

    async def outcome() -> tuple[RuntimeStatus, Any]:
        if not is_suspended:
            return await simulation.run("run", events=events)
        await simulation.run("run", events=[ExecutionSuspended(timestamp=AT, reason="pause"), *events])
        return await simulation.send(ExecutionResumed(timestamp=AT, reason="go on"))

    assert asyncio.run(outcome()) == (RuntimeStatus.COMPLETED, [name for _, name in names(generations)])
