"""Sub-orchestrations under ids that are in use, against the real SDK, with messages in any order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the orders")

from hypothesis import given, settings
from hypothesis import strategies as st

from durablehost.core.history import EventRaised, ExecutionStarted, ExecutionTerminated, OrchestrationInstance
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.replay.simulation import ROOT, Simulation
from packages.durablehost.tests.unit.core.examples import AT

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
TAKEN = "An Orchestration instance with the status Running already exists under the ID 'twin'."


def quick(context: Context) -> Any:
    return context.get_input()


def patient(context: Context) -> Generator[Any, Any, Any]:
    return (yield context.wait_for_external_event("Go"))


def outcome_of(context: Context, *tasks: Any) -> Generator[Any, Any, Any]:
    """Returns the outcome of each task, in words."""
    told = []
    for task in tasks:
        try:
            told.append((yield task))
        except Exception as error:
            told.append(str(error))
    return told


def simulation(parent: Any, seed: int = 0) -> Simulation:
    return Simulation({"run": parent, "quick": quick, "patient": patient}, seed=seed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_the_second_of_two_awaited_children_with_one_id_fails(seed: int) -> None:
    def parent(context: Context) -> Generator[Any, Any, Any]:
        twins = [context.call_sub_orchestrator("patient", None, "twin") for _ in range(2)]
        yield context.task_any(twins)
        return (yield from outcome_of(context, *twins))

    world = simulation(parent, seed)
    status, _ = asyncio.run(world.run("run"))
    assert status is RuntimeStatus.RUNNING
    status, told = asyncio.run(world.send_to("twin", EventRaised(timestamp=AT, name="Go", input='"gone"')))
    assert (status, told[0]) == (RuntimeStatus.COMPLETED, "gone")
    assert TAKEN in told[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_two_children_with_one_id_both_run_one_after_the_other(seed: int) -> None:
    def parent(context: Context) -> Generator[Any, Any, Any]:
        first = yield context.call_sub_orchestrator("quick", 1, "twin")
        return [first, (yield context.call_sub_orchestrator("quick", 2, "twin"))]

    assert asyncio.run(simulation(parent, seed).run("run")) == (RuntimeStatus.COMPLETED, [1, 2])


def start_as_client(world: Simulation, instance_id: str, name: str, value: Any = None) -> None:
    instance = OrchestrationInstance(instance_id=instance_id, execution_id="c" * 32)
    text = json.dumps(json.dumps(value))
    start = ExecutionStarted(timestamp=AT, orchestration_instance=instance, name=name, input=text)
    world.hub.put(TaskMessage(event=start, target=instance))


def test_a_child_under_the_id_of_a_running_instance_fails_and_the_instance_goes_on() -> None:
    def parent(context: Context) -> Generator[Any, Any, Any]:
        return (yield from outcome_of(context, context.call_sub_orchestrator("quick", 1, "twin")))

    world = simulation(parent)
    start_as_client(world, "twin", "patient")
    asyncio.run(world.settle())
    status, (told,) = asyncio.run(world.run("run"))
    assert (status, TAKEN in told) == (RuntimeStatus.COMPLETED, True)
    asyncio.run(world.send_to("twin", EventRaised(timestamp=AT, name="Go", input='"gone"')))
    assert world.end_of("twin") == (RuntimeStatus.COMPLETED, "gone")


def test_a_child_that_is_no_longer_awaited_is_replaced() -> None:
    def parent(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.call_sub_orchestrator(context.get_input(), 1, "twin"))

    world = simulation(parent)
    asyncio.run(world.run("run", "patient"))
    asyncio.run(world.send(ExecutionTerminated(timestamp=AT, input="enough")))
    assert world.end_of("twin")[0] is RuntimeStatus.RUNNING
    start_as_client(world, ROOT, "run", "quick")
    asyncio.run(world.settle())
    assert world.end_of(ROOT) == (RuntimeStatus.COMPLETED, 1)


def test_a_late_start_of_an_earlier_execution_of_the_parent_replaces_no_child_of_the_current_one() -> None:
    def parent(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.call_sub_orchestrator("patient", 1, "twin"))

    world = simulation(parent)
    asyncio.run(world.run("run"))
    late = next(message for message in world.hub.sent if message.target.instance_id == "twin")
    asyncio.run(world.send(ExecutionTerminated(timestamp=AT, input="enough")))
    start_as_client(world, ROOT, "run")
    asyncio.run(world.settle())
    world.hub.put(late)
    asyncio.run(world.settle())
    asyncio.run(world.send_to("twin", EventRaised(timestamp=AT, name="Go", input='"gone"')))
    assert world.end_of(ROOT) == (RuntimeStatus.COMPLETED, "gone")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_start_that_comes_twice_leaves_a_child_that_has_continued_as_new_alone(seed: int) -> None:
    def parent(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.call_sub_orchestrator("again", 0, "twin"))

    def again(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input()
        if n < 2:
            context.continue_as_new(n + 1)
            return None
        return (yield context.wait_for_external_event("Go"))

    world = Simulation({"run": parent, "again": again}, seed=seed)
    asyncio.run(world.run("run"))
    before = world.hub.histories["twin"]
    (start,) = [message for message in world.hub.sent if isinstance(message.event, ExecutionStarted)][1:]
    world.hub.put(start)
    asyncio.run(world.settle())
    assert world.hub.histories["twin"] == before
    asyncio.run(world.send_to("twin", EventRaised(timestamp=AT, name="Go", input="1")))
    assert world.end_of(ROOT) == (RuntimeStatus.COMPLETED, 1)
