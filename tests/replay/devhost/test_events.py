"""External events, continue-as-new and suspension against the real SDK, with messages in any order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import given, settings
from hypothesis import strategies as st

from devhost.core.episode import WAITS_FOR_NOTHING
from devhost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
)
from devhost.core.state import fold
from devhost.core.status import RuntimeStatus
from tests.replay.devhost.simulation import ROOT, Simulation
from tests.unit.devhost.core.examples import AT

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types


def raised(name: str, value: Any) -> EventRaised:
    """As the SDK's client sends it: encoded twice."""
    return EventRaised(timestamp=AT, name=name, input=json.dumps(value))


def echo(value: Any) -> Any:
    return value


def run(orchestrate: Any, *events: HistoryEvent, seed: int = 0, value: Any = None) -> tuple[RuntimeStatus, Any]:
    simulation = Simulation({"run": orchestrate}, {"echo": echo}, seed=seed)
    return asyncio.run(simulation.run("run", value, events=events))


STEPS = st.lists(st.sampled_from(["A", "B", "work", "pause"]), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(0, 2**32))
def test_every_event_reaches_one_wait_of_its_name_however_early_it_comes(steps: list[str], seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        received = []
        for step in steps:
            if step == "work":
                yield context.call_activity("echo", step)
            elif step == "pause":
                yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
            else:
                received.append((yield context.wait_for_external_event(step)))
        return received

    sent = [f"{step}{i}" for i, step in enumerate(steps) if step in "AB"]
    status, received = run(orchestrate, *[raised(value[0], value) for value in sent], seed=seed)
    assert status is RuntimeStatus.COMPLETED, received
    assert sorted(received) == sorted(sent)
    assert [value[0] for value in received] == [value[0] for value in sent]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_all_of_several_events_and_the_first_of_event_and_timer(seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        both = yield context.task_all([context.wait_for_external_event(name) for name in "XY"])
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        event = context.wait_for_external_event("Z")
        winner = yield context.task_any([event, timer])
        timer.cancel()
        return [*both, winner == event and event.result]

    outcome = run(orchestrate, raised("Z", "z"), raised("Y", "y"), raised("X", "x"), seed=seed)
    assert outcome == (RuntimeStatus.COMPLETED, ["x", "y", "z"])


@pytest.mark.parametrize("days", [5, 7, 10, 30])
def test_a_timer_longer_than_a_message_may_wait_fires_when_it_is_due(days: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        began_at = context.current_utc_datetime
        yield context.create_timer(began_at + timedelta(days=days))
        late = context.current_utc_datetime - began_at - timedelta(days=days)
        value = yield context.call_activity("echo", "then")
        return [value, timedelta(0) <= late < timedelta(seconds=1)]

    assert run(orchestrate) == (RuntimeStatus.COMPLETED, ["then", True])


def test_a_long_timer_that_was_cancelled_keeps_its_instance_until_its_first_part_is_over() -> None:
    """As upstream: what the SDK returns does not tell that a timer it has split is cancelled."""

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        timer = context.create_timer(context.current_utc_datetime + timedelta(days=10))
        event = context.wait_for_external_event("Go")
        winner = yield context.task_any([event, timer])
        timer.cancel()
        return winner == event and event.result

    simulation = Simulation({"run": orchestrate})
    began_at = simulation.at
    outcome = asyncio.run(simulation.run("run", events=[raised("Go", "go")]))
    assert outcome == (RuntimeStatus.COMPLETED, "go")
    assert timedelta(days=3) <= simulation.at - began_at < timedelta(days=3, seconds=1)


def test_the_name_of_an_event_is_matched_in_any_case() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.wait_for_external_event("Approval"))

    assert run(orchestrate, raised("approval", 7)) == (RuntimeStatus.COMPLETED, 7)


@settings(max_examples=20, deadline=None)
@given(st.permutations(["Go", "GO", "go"]), st.booleans(), st.integers(0, 2**32))
def test_waits_that_differ_in_case_alone_get_one_event_each(sent: list[str], together: bool, seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        waits = [context.wait_for_external_event(name) for name in ("Go", "GO", "go")]
        if together:
            return (yield context.task_all(waits))
        return [(yield waits[0]), (yield waits[1]), (yield waits[2])]

    status, received = run(orchestrate, *[raised(name, name) for name in sent], seed=seed)
    assert (status, sorted(received)) == (RuntimeStatus.COMPLETED, ["GO", "Go", "go"])


def test_an_event_of_the_exact_name_goes_to_its_own_wait() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        waits = {name: context.wait_for_external_event(name) for name in ("Go", "GO", "go")}
        yield context.task_all(list(waits.values()))
        return {name: wait.result for name, wait in waits.items()}

    outcome = run(orchestrate, raised("GO", 1), raised("go", 2), raised("Go", 3))
    assert outcome == (RuntimeStatus.COMPLETED, {"Go": 3, "GO": 1, "go": 2})


@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_yield_of_what_is_no_task_fails_the_instance(steps_before: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        for _ in range(steps_before):
            yield context.call_activity("echo", 1)
        yield context.set_custom_status("half done")

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert output == f"Orchestrator function 'run' failed: {WAITS_FOR_NOTHING}"


@pytest.mark.parametrize(("value", "described"), [(5, "a value of type int"), ([], "a value of type list")])
def test_and_one_of_a_value_tells_its_type(value: object, described: str) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield value

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert f"The orchestrator has yielded {described}, which is no task." in output


def test_a_yield_of_none_beside_open_work_fails_the_instance_when_that_is_done() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.task_any([context.call_activity("echo", 1), context.call_activity("echo", 2)])
        yield None

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert "which is no task" in output or output.endswith(WAITS_FOR_NOTHING)


def test_an_event_that_nobody_waits_for_keeps_an_instance_neither_waiting_nor_running() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.call_activity("echo", 1))

    assert run(orchestrate, raised("Nobody", 7)) == (RuntimeStatus.COMPLETED, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_an_orchestration_that_continues_as_new_loses_no_event(seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        seen = context.get_input() or []
        if len(seen) == 4:
            return seen
        seen.append((yield context.wait_for_external_event("Next")))
        yield context.call_activity("echo", 1)
        context.continue_as_new(seen)
        return None

    status, seen = run(orchestrate, *[raised("Next", i) for i in range(4)], seed=seed)
    assert status is RuntimeStatus.COMPLETED
    assert sorted(seen) == [0, 1, 2, 3]


def test_a_new_execution_has_a_history_of_its_own() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input()
        yield context.call_activity("echo", n)
        if n < 3:
            context.continue_as_new(n + 1)
        return n

    simulation = Simulation({"run": orchestrate}, {"echo": echo})
    assert asyncio.run(simulation.run("run", 0)) == (RuntimeStatus.COMPLETED, 3)
    history = simulation.hub.histories[ROOT]
    assert [event.type_name for event in history] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "TaskScheduled",
        "OrchestratorCompleted",
        "OrchestratorStarted",
        "TaskCompleted",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    assert fold(history).execution_id != "e" * 32


def test_executions_that_wait_for_nothing_follow_one_another_in_one_turn() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input()
        if n < 20:
            context.continue_as_new(n + 1)
            return None
        return (yield context.call_activity("echo", n))

    simulation = Simulation({"run": orchestrate}, {"echo": echo})
    assert asyncio.run(simulation.run("run", 0)) == (RuntimeStatus.COMPLETED, 20)
    # 21 executions in the first turn, of which the last is stored, and the turn of the result.
    assert simulation.executor.runs == 22
    assert [type(event).__name__ for event in simulation.hub.histories[ROOT]][:3] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "TaskScheduled",
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_suspended_instance_goes_on_when_it_is_resumed(seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        values = yield context.task_all([context.call_activity("echo", i) for i in range(3)])
        return [*values, (yield context.wait_for_external_event("Go"))]

    suspended = ExecutionSuspended(timestamp=AT, reason="pause")
    simulation = Simulation({"run": orchestrate}, {"echo": echo}, seed=seed)
    assert asyncio.run(simulation.run("run", events=[suspended])) == (RuntimeStatus.SUSPENDED, None)
    assert asyncio.run(simulation.send(raised("Go", "go"))) == (RuntimeStatus.SUSPENDED, None)
    resumed = asyncio.run(simulation.send(ExecutionResumed(timestamp=AT, reason="go on")))
    assert resumed == (RuntimeStatus.COMPLETED, [0, 1, 2, "go"])


@pytest.mark.parametrize("seed", range(5))
def test_what_a_real_host_recorded_during_a_suspension_is_taken_after_the_resumption(seed: int) -> None:
    """A real host writes into the history what comes while the instance is suspended, and does not act on it."""

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        work = yield context.call_activity("echo", "work")
        event = yield context.wait_for_external_event("A")
        return [work, event, (yield context.call_activity("echo", "then"))]

    async def handed_over() -> tuple[RuntimeStatus, Any]:
        simulation = Simulation({"run": orchestrate}, {"echo": echo}, seed=seed)
        await simulation.run("run")
        taken = [event for event in simulation.hub.histories[ROOT] if not isinstance(event, TaskCompleted)]
        begun = tuple(taken[: next(i for i, e in enumerate(taken) if isinstance(e, OrchestratorCompleted)) + 1])
        recorded = [
            ExecutionSuspended(timestamp=AT, reason="pause"),
            TaskCompleted(timestamp=AT, task_scheduled_id=0, result=json.dumps("work")),
            raised("A", "a"),
        ]
        simulation.hub.histories[ROOT] = begun + tuple(
            each
            for event in recorded
            for each in (OrchestratorStarted(timestamp=AT), event, OrchestratorCompleted(timestamp=AT))
        )
        return await simulation.send(ExecutionResumed(timestamp=AT, reason="go on"))

    assert asyncio.run(handed_over()) == (RuntimeStatus.COMPLETED, ["work", "a", "then"])
