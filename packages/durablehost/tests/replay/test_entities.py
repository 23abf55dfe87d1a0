"""Orchestrators and entities of the real SDK together, with messages in any order."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import given, settings
from hypothesis import strategies as st

from durablehost.core.entities import read_snapshot
from durablehost.core.history import EventRaised, ExecutionStarted
from durablehost.core.ids import is_entity_id
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.replay.simulation import Simulation

Context = Any  # the SDK has no types
LOG = df.EntityId("Log", "one")


def log(context: Context) -> None:
    """Keeps the added values in the order of their arrival."""
    entries = context.get_state(list)
    if context.operation_name == "add":
        entries.append(context.get_input())
        context.set_state(entries)
    elif context.operation_name == "fail":
        raise ValueError(f"no {context.get_input()}")
    context.set_result(entries)
    if context.operation_name == "forget":
        context.destruct_on_exit()


def echo(value: Any) -> Any:
    return value


def simulated(orchestrate: Any, *, seed: int = 0, **chances: float) -> Simulation:
    return Simulation({"run": orchestrate}, {"echo": echo}, {"log": log}, seed=seed, **chances)


def run(orchestrate: Any, *, seed: int = 0, **chances: float) -> tuple[RuntimeStatus, Any]:
    return asyncio.run(simulated(orchestrate, seed=seed, **chances).run("run"))


STEPS = st.lists(st.sampled_from(["signal", "call", "work", "pause", "both"]), min_size=1, max_size=8)


def program(steps: list[str]) -> Any:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        sent: list[int] = []
        for number, step in enumerate(steps):
            if step == "signal":
                context.signal_entity(LOG, "add", number)
                sent.append(number)
            elif step == "call":
                sent.append(number)
                assert (yield context.call_entity(LOG, "add", number)) == sent
            elif step == "both":
                sent.append(number)
                call = context.call_entity(LOG, "add", number)
                answers = yield context.task_all([context.call_activity("echo", number), call])
                assert answers == [number, sent]
            elif step == "work":
                yield context.call_activity("echo", number)
            else:
                yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        return sent == (yield context.call_entity(LOG, "get"))

    return orchestrate


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(0, 2**32))
def test_an_entity_runs_the_operations_of_one_orchestration_in_order(steps: list[str], seed: int) -> None:
    assert run(program(steps), seed=seed) == (RuntimeStatus.COMPLETED, True)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(0, 2**32))
def test_an_entity_does_each_operation_once_if_messages_come_twice(steps: list[str], seed: int) -> None:
    assert run(program(steps), seed=seed, duplicates=0.4) == (RuntimeStatus.COMPLETED, True)


@pytest.mark.parametrize("of_entities", [True, False])
@settings(max_examples=80, deadline=None)
@given(steps=st.lists(st.sampled_from(["signal", "call"]), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_an_entity_does_each_operation_once_if_checkpoints_are_lost(
    of_entities: bool, steps: list[str], seed: int
) -> None:
    simulation = simulated(program(steps), seed=seed, losses=0.3, duplicates=0.2)
    simulation.may_lose = lambda instance_id: is_entity_id(instance_id) is of_entities
    assert asyncio.run(simulation.run("run")) == (RuntimeStatus.COMPLETED, True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_orchestrations_that_share_an_entity_lose_nothing(seed: int) -> None:
    def add(context: Context) -> Generator[Any, Any, Any]:
        for _ in range(3):
            yield context.call_entity(LOG, "add", context.get_input())

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.task_all([context.call_sub_orchestrator("add", name) for name in "abc"])
        return sorted((yield context.call_entity(LOG, "get")))

    simulation = Simulation({"run": orchestrate, "add": add}, {}, {"log": log}, seed=seed, duplicates=0.2)
    status, entries = asyncio.run(simulation.run("run"))
    assert (status, entries) == (RuntimeStatus.COMPLETED, list("aaabbbccc"))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_no_two_callers_get_the_same_result_if_checkpoints_of_an_entity_are_lost(seed: int) -> None:
    def count(context: Context) -> None:
        context.set_state(context.get_state(lambda: 0) + 1)
        context.set_result(context.get_state())

    def ask(context: Context) -> Generator[Any, Any, Any]:
        answers: list[int] = []
        while len(answers) < 3:
            answer = yield context.call_entity(df.EntityId("Count", "one"), "next")
            answers.append(answer)
        return answers

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.task_all([context.call_sub_orchestrator("ask") for _ in range(3)]))

    simulation = Simulation(
        {"run": orchestrate, "ask": ask}, {}, {"count": count}, seed=seed, losses=0.4, duplicates=0.2
    )
    simulation.may_lose = is_entity_id
    status, answers = asyncio.run(simulation.run("run"))
    assert status is RuntimeStatus.COMPLETED
    assert sorted(itertools.chain(*answers)) == list(range(1, 10))


def test_a_failed_operation_raises_in_its_caller_only() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        context.signal_entity(LOG, "fail", "signal")
        try:
            yield context.call_entity(LOG, "fail", "call")
        except Exception as error:
            return [str(error), (yield context.call_entity(LOG, "add", 1))]

    assert run(orchestrate) == (RuntimeStatus.COMPLETED, ["no call", [1]])


def test_a_call_of_an_entity_that_does_not_exist_raises() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.call_entity(df.EntityId("Nobody", "one"), "get")

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert "The function 'nobody' doesn't exist, is disabled, or is not an entity function." in output


def test_a_deleted_entity_begins_anew() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.call_entity(LOG, "add", 1)
        yield context.call_entity(LOG, "forget")
        return (yield context.call_entity(LOG, "add", 2))

    assert run(orchestrate) == (RuntimeStatus.COMPLETED, [2])


@pytest.mark.parametrize("is_call", [True, False])
def test_an_entity_that_is_purged_between_two_requests_of_an_orchestration_processes_both(is_call: bool) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        before = None
        if is_call:
            before = yield context.call_entity(LOG, "add", 1)
        else:
            context.signal_entity(LOG, "add", 1)
        yield context.wait_for_external_event("Go")
        return [before, (yield context.call_entity(LOG, "add", 2))]

    simulation = simulated(orchestrate)
    asyncio.run(simulation.run("run"))
    del simulation.hub.histories["@log@one"]
    go = EventRaised(timestamp=simulation.now(), name="Go", input="null")
    assert asyncio.run(simulation.send(go)) == (RuntimeStatus.COMPLETED, [[1] if is_call else None, [2]])


def test_an_unanswered_call_does_not_keep_an_orchestration_running() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        call = context.call_entity(LOG, "add", 1)
        yield context.task_any([context.create_timer(context.current_utc_datetime), call])
        return "done"

    for seed in range(10):
        simulation = simulated(orchestrate, seed=seed)
        assert asyncio.run(simulation.run("run")) == (RuntimeStatus.COMPLETED, "done")
        started = next(e for e in simulation.hub.histories["@log@one"] if isinstance(e, ExecutionStarted))
        assert json.loads(read_snapshot(started.input).state or "") == [1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_an_orchestration_that_continues_as_new_goes_on_asking(seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        count = (context.get_input() or 0) + 1
        entries = yield context.call_entity(LOG, "add", count)
        if count < 4:
            context.continue_as_new(count)
        return entries

    assert run(orchestrate, seed=seed) == (RuntimeStatus.COMPLETED, [1, 2, 3, 4])
