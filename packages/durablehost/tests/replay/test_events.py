"""External events, continue-as-new and suspension against the real SDK, with messages in any order."""

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

from durablehost.core.episode import WAITS_FOR_NOTHING
from durablehost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
)
from durablehost.core.state import fold
from durablehost.core.status import RuntimeStatus
from durablehost.engine.episodes import MOST_CONTINUATIONS
from packages.durablehost.tests.replay.simulation import ROOT, Simulation
from packages.durablehost.tests.unit.core.examples import AT

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
def test_every_event_reaches_one_wait_of_its_name_even_if_it_comes_early(steps: list[str], seed: int) -> None:
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


def runs_over_events(orchestrate: Any, count: int) -> int:
    """How often a waiting orchestrator is run until it has received so many events that arrive together."""
    simulation = Simulation({"run": orchestrate}, {"echo": echo})
    simulation.random.randint = lambda a, b: b  # type: ignore[method-assign]
    assert asyncio.run(simulation.run("run")) == (RuntimeStatus.RUNNING, None)
    before = simulation.executor.runs
    outcome = asyncio.run(simulation.send(*[raised("Go", number) for number in range(count)]))
    assert outcome[0] is RuntimeStatus.COMPLETED
    assert sorted(outcome[1]) == list(range(count))
    return simulation.executor.runs - before


def test_events_that_are_all_awaited_take_one_run_together() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        received: list[Any] = []
        while len(received) < 20:
            received.append((yield context.wait_for_external_event("Go")))
        return received

    assert runs_over_events(orchestrate, 20) == 1


def test_events_that_are_awaited_one_by_one_take_one_run_each_after_the_first() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        received: list[Any] = []
        while len(received) < 20:
            received.append((yield context.wait_for_external_event("Go")))
            yield context.call_activity("echo", 1)
        return received

    # All together in vain, then one for each event and for each activity.
    assert runs_over_events(orchestrate, 20) == 1 + 20 + 20


def test_an_event_that_is_not_awaited_takes_one_run() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        return [(yield context.wait_for_external_event("Go"))]

    simulation = Simulation({"run": orchestrate})
    asyncio.run(simulation.run("run"))
    assert asyncio.run(simulation.send(raised("Other", 1))) == (RuntimeStatus.RUNNING, None)
    assert simulation.executor.runs == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_an_orchestrator_can_await_all_events_or_the_first_of_event_and_timer(seed: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        both = yield context.task_all([context.wait_for_external_event(name) for name in "XY"])
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        event = context.wait_for_external_event("Z")
        winner = yield context.task_any([event, timer])
        timer.cancel()
        return [*both, winner == event and event.result]

    outcome = run(orchestrate, raised("Z", "z"), raised("Y", "y"), raised("X", "x"), seed=seed)
    assert outcome == (RuntimeStatus.COMPLETED, ["x", "y", "z"])


def test_a_retried_call_that_wins_against_a_timer_is_followed_by_more_work() -> None:
    """A real host fails the instance: for it, the cancelled timer wins on each replay."""

    def fail(value: Any) -> Any:
        raise ValueError(value)

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        call = context.call_activity_with_retry("fail", df.RetryOptions(100, 2), "why")
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        winner = yield context.task_any([call, timer])
        timer.cancel()
        return [winner is call, (yield context.call_activity("echo", "then"))]

    simulation = Simulation({"run": orchestrate}, {"echo": echo, "fail": fail})
    assert asyncio.run(simulation.run("run")) == (RuntimeStatus.COMPLETED, [True, "then"])


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
    """As on the extension: the actions of the SDK do not show that a split timer is cancelled."""

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


def test_an_event_in_another_case_does_not_meet_a_wait_nor_block_the_right_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        first = yield context.wait_for_external_event("Approval")
        return [first, (yield context.wait_for_external_event("Approval"))]

    simulation = Simulation({"run": orchestrate})
    asyncio.run(simulation.run("run", events=[raised("approval", 7), raised("APPROVAL", 7)]))
    assert asyncio.run(simulation.send(raised("approval", 7))) == (RuntimeStatus.RUNNING, None)
    asyncio.run(simulation.send(raised("Approval", 8)))
    assert asyncio.run(simulation.send(raised("Approval", 9))) == (RuntimeStatus.COMPLETED, [8, 9])
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"The orchestrator 'run' waits for the event 'Approval', and an event '{name}' has come: that wait does not "
        "get it, here as in Azure, because the SDK compares names exactly."
        for name in ("APPROVAL", "approval")
    ]


def test_an_event_in_another_case_that_a_real_host_has_recorded_does_not_block_the_right_one() -> None:
    """A real host writes events into the history when they come, whether they are awaited or not."""

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        return (yield context.wait_for_external_event("Approval"))

    async def handed_over() -> tuple[RuntimeStatus, Any]:
        simulation = Simulation({"run": orchestrate})
        await simulation.run("run")
        simulation.hub.histories[ROOT] += (
            OrchestratorStarted(timestamp=AT),
            raised("approval", 7),
            OrchestratorCompleted(timestamp=AT),
        )
        return await simulation.send(raised("Approval", 8))

    assert asyncio.run(handed_over()) == (RuntimeStatus.COMPLETED, 8)


@settings(max_examples=20, deadline=None)
@given(st.permutations(["Go", "GO", "go"]), st.booleans(), st.integers(0, 2**32))
def test_waits_that_differ_in_case_alone_get_the_event_of_their_own_name(
    sent: list[str], together: bool, seed: int
) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        waits = [context.wait_for_external_event(name) for name in ("Go", "GO", "go")]
        if together:
            return (yield context.task_all(waits))
        return [(yield waits[0]), (yield waits[1]), (yield waits[2])]

    outcome = run(orchestrate, *[raised(name, name) for name in sent], seed=seed)
    assert outcome == (RuntimeStatus.COMPLETED, ["Go", "GO", "go"])


@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_yield_of_a_non_task_fails_the_instance(steps_before: int) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        for _ in range(steps_before):
            yield context.call_activity("echo", 1)
        yield context.set_custom_status("half done")

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert output == f"Orchestrator function 'run' failed: {WAITS_FOR_NOTHING}"


@pytest.mark.parametrize(("value", "described"), [(5, "a value of type int"), ([], "a value of type list")])
def test_the_failure_of_a_yielded_value_names_its_type(value: object, described: str) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield value

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert f"The orchestrator has yielded {described}, which is no task." in output


def test_a_yield_of_none_fails_the_instance_after_its_open_work_is_done() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.task_any([context.call_activity("echo", 1), context.call_activity("echo", 2)])
        yield None

    status, output = run(orchestrate)
    assert status is RuntimeStatus.FAILED
    assert "which is no task" in output or output.endswith(WAITS_FOR_NOTHING)


def test_an_event_that_is_not_awaited_neither_blocks_an_instance_nor_keeps_it_running() -> None:
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


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_an_event_that_wins_against_a_timer_counts_once_if_the_orchestration_continues_as_new_at_once(
    seed: int,
) -> None:
    """A real host delivers it to every further execution."""

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        seen = context.get_input() or []
        if len(seen) == 3:
            return seen
        timeout = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        event = context.wait_for_external_event("Next")
        assert (yield context.task_any([event, timeout])) == event
        timeout.cancel()
        context.continue_as_new([*seen, event.result])
        return None

    status, seen = run(orchestrate, *[raised("Next", i) for i in range(3)], seed=seed)
    assert status is RuntimeStatus.COMPLETED
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize("early", [True, False])
def test_an_event_that_is_carried_over_is_logged_once_as_lost_in_azure(
    early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input() or 0
        if n == 3:
            return [(yield context.wait_for_external_event("Late"))]
        if early:
            yield context.call_activity("echo", n)
        else:
            yield context.wait_for_external_event("Next")
        context.continue_as_new(n + 1)
        return None

    outcome = run(orchestrate, raised("Late", 7), *[raised("Next", n) for n in range(3)])
    assert outcome == (RuntimeStatus.COMPLETED, [7])
    messages = [record.getMessage() for record in caplog.records]
    carried = (
        "The orchestrator 'run' has continued as new before it awaited the event 'Late'. durablehost keeps the event "
        "for the next execution; Azure drops it."
    )
    assert messages.count(carried) == 1


def test_an_error_after_continue_as_new_fails_the_instance_with_that_error() -> None:
    """A real host says `Non-Deterministic workflow detected`, which is not the cause."""

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.call_activity("echo", 1)
        context.continue_as_new(1)
        raise ValueError("too late")

    assert run(orchestrate) == (RuntimeStatus.FAILED, "Orchestrator function 'run' failed: too late")


def test_events_that_meet_their_waits_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input() or 0
        if n == 3:
            return n
        yield context.wait_for_external_event("Next")
        context.continue_as_new(n + 1)
        return None

    assert run(orchestrate, *[raised("Next", n) for n in range(3)]) == (RuntimeStatus.COMPLETED, 3)
    assert not caplog.records


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


def test_executions_that_wait_for_nothing_follow_one_another_in_one_episode() -> None:
    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input()
        if n < 20:
            context.continue_as_new(n + 1)
            return None
        return (yield context.call_activity("echo", n))

    simulation = Simulation({"run": orchestrate}, {"echo": echo})
    assert asyncio.run(simulation.run("run", 0)) == (RuntimeStatus.COMPLETED, 20)
    # 21 executions in the first episode, of which the last is stored, and the episode of the result.
    assert simulation.executor.runs == 22
    assert [type(event).__name__ for event in simulation.hub.histories[ROOT]][:3] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "TaskScheduled",
    ]


@pytest.mark.parametrize("seed", range(10))
def test_executions_that_wait_for_nothing_for_long_lose_no_event(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    last = 4 * MOST_CONTINUATIONS

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        n = context.get_input()
        context.set_custom_status(n)
        if n < last:
            context.continue_as_new(n + 1)
            return None
        return [(yield context.wait_for_external_event("Go")), (yield context.call_activity("echo", n))]

    simulation = Simulation({"run": orchestrate}, {"echo": echo}, seed=seed, losses=0.2, duplicates=0.2)
    assert asyncio.run(simulation.run("run", 0, events=[raised("Go", 1)])) == (RuntimeStatus.COMPLETED, [1, last])
    warning = "The orchestrator 'run' has continued as new 50 times without waiting for anything."
    assert sum(text.startswith(warning) for text in caplog.messages) == 1


def test_executions_that_each_wait_for_an_event_are_no_endless_ones(caplog: pytest.LogCaptureFixture) -> None:
    last = 2 * MOST_CONTINUATIONS

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        yield context.wait_for_external_event("Go")
        if context.get_input() < last:
            context.continue_as_new(context.get_input() + 1)

    simulation = Simulation({"run": orchestrate})
    events = [raised("Go", n) for n in range(last + 1)]
    assert asyncio.run(simulation.run("run", 0, events=events)) == (RuntimeStatus.COMPLETED, None)
    assert not any(isinstance(message.event, GenericEvent) for message in simulation.hub.sent)
    assert not caplog.messages


@pytest.mark.parametrize("seed", range(10))
def test_an_orchestrator_that_continues_as_new_for_ever_can_be_suspended_and_terminated(seed: int) -> None:
    def orchestrate(context: Context) -> None:
        context.continue_as_new(context.get_input() + 1)

    simulation = Simulation({"run": orchestrate}, seed=seed)

    async def scenario() -> None:
        status, _ = await simulation.run("run", 0, events=[ExecutionSuspended(timestamp=AT, reason="wait")])
        assert status is RuntimeStatus.SUSPENDED
        resumed, end = ExecutionResumed(timestamp=AT, reason="go"), ExecutionTerminated(timestamp=AT, input="enough")
        assert await simulation.send(resumed, end) == (RuntimeStatus.TERMINATED, "enough")

    asyncio.run(scenario())


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
def test_events_that_a_real_host_recorded_during_a_suspension_are_processed_after_it(seed: int) -> None:
    """A real host writes events that arrive during a suspension into the history, without processing them."""

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


def test_events_that_are_awaited_one_after_the_other_are_delivered_in_few_episodes() -> None:
    runs = 0

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        nonlocal runs
        runs += 1
        received = []
        for _ in range(200):
            received.append((yield context.wait_for_external_event("A")))  # noqa: PERF401
        return received

    status, received = run(orchestrate, *[raised("A", number) for number in range(200)])
    assert (status, sorted(received)) == (RuntimeStatus.COMPLETED, list(range(200)))
    assert runs <= 20


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.booleans(), st.integers(0, 2**32))
def test_events_of_one_name_never_overtake_the_work_between_their_waits(
    groups: list[int], renews: bool, seed: int
) -> None:
    """The SDK would give an event that came before its wait to every later one."""

    def orchestrate(context: Context) -> Generator[Any, Any, Any]:
        received, left = context.get_input() or ([], groups)
        while left:
            count, *left = left
            for _ in range(count):
                received.append((yield context.wait_for_external_event("A")))
            received.append((yield context.call_activity("echo", "work")))
            if left and renews:
                context.continue_as_new([received, left])
                return None
        return received

    status, received = run(orchestrate, *[raised("A", number) for number in range(sum(groups))], seed=seed)
    assert status is RuntimeStatus.COMPLETED, received
    assert sorted(each for each in received if each != "work") == list(range(sum(groups)))
    assert ["work" if each == "work" else "event" for each in received] == [
        each for count in groups for each in [*["event"] * count, "work"]
    ]
