"""Which spans an episode of an orchestration ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durablehost.core.actions import SignalEntity
from durablehost.core.episode_spans import MOST_EVENTS, spans_of_episode
from durablehost.core.history import (
    EventRaised,
    ExecutionCompleted,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.replay import Task
from durablehost.core.schedule import Scheduler
from durablehost.core.spans import SpanKind
from durablehost.core.status import RuntimeStatus
from durablehost.core.trace_context import TraceContext, begin_span, own_context, stored_context, task_context
from packages.durablehost.tests.unit.core.examples import AT, LATER, completed, first_episode, started

CALLER = TraceContext(trace_id="a" * 32, span_id="b" * 16)
BEGUN = begin_span(started(), CALLER, AT)
OWN = own_context(BEGUN)


def task(task_id: int) -> TaskScheduled:
    context = stored_context(task_context(BEGUN, task_id))
    return TaskScheduled(timestamp=AT, event_id=task_id, name="Say", parent_trace_context=context)


def end(status: RuntimeStatus, result: str | None = None) -> ExecutionCompleted:
    return ExecutionCompleted(timestamp=LATER, orchestration_status=status, result=result)


def episode(*events: HistoryEvent) -> tuple[HistoryEvent, ...]:
    return (OrchestratorStarted(timestamp=LATER), *events, OrchestratorCompleted(timestamp=LATER))


def test_a_result_ends_the_span_of_its_task_when_the_orchestrator_receives_it() -> None:
    (span,) = spans_of_episode(BEGUN, first_episode(task(0), start=BEGUN), episode(completed(0)))
    assert (span.name, span.kind) == ("activity:Say", SpanKind.CLIENT)
    assert (span.place.context, span.place.parent) == (task_context(BEGUN, 0), OWN)
    assert (span.place.started_at, span.place.ended_at) == (AT, LATER)
    assert span.attributes == {
        "durabletask.type": "activity",
        "durabletask.task.name": "Say",
        "durabletask.task.instance_id": "me",
        "durabletask.task.task_id": 0,
    }


def test_results_of_earlier_episodes_end_no_span_again() -> None:
    history = (*first_episode(task(0), start=BEGUN), *episode(completed(0)))
    assert spans_of_episode(BEGUN, history, episode()) == ()


def test_results_of_an_episode_that_a_crash_cut_short_end_their_spans() -> None:
    history = (*first_episode(task(0), start=BEGUN), *episode(completed(0))[:-1])
    (span,) = spans_of_episode(BEGUN, history, (OrchestratorCompleted(timestamp=LATER),))
    assert span.name == "activity:Say"


def test_a_timer_has_a_span() -> None:
    history = first_episode(TimerCreated(timestamp=AT, event_id=4, fire_at=LATER), start=BEGUN)
    (span,) = spans_of_episode(BEGUN, history, episode(TimerFired(timestamp=AT, timer_id=4, fire_at=LATER)))
    assert (span.name, span.kind) == ("orchestration:Orch:timer", SpanKind.INTERNAL)
    assert span.attributes["durabletask.fire_at"] == "2026-03-01T10:00:05Z"


def test_a_signal_to_an_entity_has_a_span_that_ends_when_it_is_sent() -> None:
    scheduler = Scheduler(started=BEGUN, episode=1, now=AT, request_time=AT)
    action = SignalEntity(instance_id="@counter@one", operation="add", input=None)
    sent, message = scheduler.schedule(2, Task(action=action))
    (span,) = spans_of_episode(BEGUN, (), first_episode(sent, start=BEGUN))
    assert (span.name, span.kind) == ("entity:counter:add", SpanKind.PRODUCER)
    assert message is not None
    assert isinstance(message.event, EventRaised)
    assert message.event.parent_trace_context == stored_context(span.place.context)


@pytest.mark.parametrize(
    ("status", "result", "error"),
    [
        (RuntimeStatus.COMPLETED, "1", None),
        (RuntimeStatus.FAILED, "it broke", "it broke"),
        (RuntimeStatus.TERMINATED, "enough", "Terminated"),
    ],
)
def test_the_end_of_an_execution_ends_its_span(status: RuntimeStatus, result: str, error: str | None) -> None:
    (span,) = spans_of_episode(BEGUN, first_episode(start=BEGUN), episode(end(status, result)))
    assert (span.name, span.kind, span.error, span.is_ok) == ("orchestration:Orch", SpanKind.SERVER, error, not error)
    assert (span.place.context, span.place.parent) == (OWN, CALLER)
    assert (span.place.started_at, span.place.ended_at) == (AT, LATER)
    assert span.attributes["durabletask.task.status"] == status.value


def test_episodes_and_external_events_are_events_of_the_span() -> None:
    raised = EventRaised(timestamp=AT, name="Approved")
    (span,) = spans_of_episode(BEGUN, first_episode(start=BEGUN), episode(raised, end(RuntimeStatus.COMPLETED)))
    assert [(event.name, event.at) for event in span.events] == [
        ("episode", AT),
        ("episode", LATER),
        ("event_raised", AT),
    ]
    assert span.events[-1].attributes == {"durabletask.event.name": "Approved"}


def test_a_span_has_a_bounded_number_of_events() -> None:
    history = (*first_episode(start=BEGUN), *(event for _ in range(MOST_EVENTS) for event in episode()))
    (span,) = spans_of_episode(BEGUN, history, episode(end(RuntimeStatus.COMPLETED)))
    assert len(span.events) == MOST_EVENTS


def test_a_rewound_execution_ends_another_span_that_began_with_the_rewind() -> None:
    undone, rewind = GenericEvent(timestamp=AT), GenericEvent(timestamp=LATER, data="again")
    history = (*first_episode(undone, start=BEGUN), *episode(rewind))
    (span,) = spans_of_episode(BEGUN, history, episode(end(RuntimeStatus.COMPLETED)))
    assert span.place.context == own_context(BEGUN, 1) != OWN
    assert span.place.started_at == LATER


def test_the_version_is_part_of_the_name() -> None:
    versioned = replace(BEGUN, version="2.0")
    (span,) = spans_of_episode(versioned, first_episode(start=versioned), episode(end(RuntimeStatus.COMPLETED)))
    assert span.name == "orchestration:Orch@(2.0)"
    assert span.attributes["durabletask.task.version"] == "2.0"


def test_an_orchestration_that_no_host_has_traced_has_no_spans() -> None:
    untraced = started(parent_trace_context=stored_context(CALLER))
    events = episode(completed(0), end(RuntimeStatus.COMPLETED))
    assert spans_of_episode(untraced, first_episode(task(0), start=untraced), events) == ()
