"""The messages that an execution accepts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from durablehost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerCreated,
    TimerFired,
)
from durablehost.core.lineage import continued_execution_id
from durablehost.core.messages import TaskMessage
from durablehost.core.state import MAX_DELIVERIES_TO_NOTHING, MAX_EARLY_DELIVERIES, Admission, admit, fold, restated
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import EARLIEST_TIME
from packages.durablehost.tests.unit.core.examples import (
    AT,
    LATER,
    ME,
    completed,
    failure,
    first_episode,
    scheduled,
    started,
    to_me,
)

RUNNING = first_episode(scheduled(0), scheduled(1))


def admitted(history: tuple[HistoryEvent, ...], *events: HistoryEvent, dequeue_count: int = 1) -> Admission:
    return admit(fold(history), [(to_me(event), dequeue_count) for event in events])


def test_an_empty_history_is_pending() -> None:
    assert fold(()).status is RuntimeStatus.PENDING


def test_a_history_without_an_end_is_running() -> None:
    state = fold(RUNNING)
    assert state.status is RuntimeStatus.RUNNING
    assert (set(state.scheduled), state.completed_ids) == ({0, 1}, frozenset())
    assert not state.is_episode_open


def test_an_episode_whose_last_rows_are_missing_is_open() -> None:
    assert fold(RUNNING[:-1]).is_episode_open


def test_the_start_is_delivered_first_whatever_its_position() -> None:
    raised = EventRaised(timestamp=AT, name="Go")
    admission = admitted((), raised, started())
    assert (admission.delivered, admission.raised) == ((1,), (0,))


def test_a_second_start_of_the_same_execution_is_dropped() -> None:
    assert admitted(RUNNING, started()) == Admission()


def test_a_completion_is_delivered_once() -> None:
    assert admitted(RUNNING, completed(0), completed(0)).delivered == (0,)
    history = (*RUNNING, OrchestratorStarted(timestamp=AT), completed(0))
    assert admitted(history, failure(0)).delivered == ()


def test_a_completion_for_an_execution_that_has_continued_as_new_is_dropped() -> None:
    newer = replace(started(), orchestration_instance=replace(ME, execution_id=continued_execution_id("e1")))
    history = (OrchestratorStarted(timestamp=AT), newer, OrchestratorCompleted(timestamp=AT))
    assert admit(fold(history), [(to_me(completed(0), execution_id="e1"), 1)]) == Admission()


@pytest.mark.parametrize(("dequeue_count", "deferred"), [(1, (0,)), (MAX_DELIVERIES_TO_NOTHING + 1, ())])
def test_a_completion_for_an_unknown_execution_waits_for_about_a_minute(
    dequeue_count: int, deferred: tuple[int]
) -> None:
    ended = (*RUNNING[:-1], ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.FAILED), RUNNING[-1])
    for history in (RUNNING, ended):
        admission = admit(fold(history), [(to_me(completed(0), execution_id="e7"), dequeue_count)])
        assert admission == Admission(deferred=deferred)


def test_a_message_for_another_execution_does_not_affect_the_others() -> None:
    messages = [
        to_me(completed(0), execution_id="e0"),
        to_me(ExecutionTerminated(timestamp=AT), execution_id=None),
        to_me(EventRaised(timestamp=AT, name="Go"), execution_id=None),
        to_me(completed(1)),
    ]
    admission = admit(fold(RUNNING), [(message, 1) for message in messages])
    assert admission == Admission(delivered=(1, 3), raised=(2,), deferred=(0,))


@pytest.mark.parametrize("execution_id", [None, "e1"])
def test_only_a_message_without_an_execution_id_can_be_for_a_later_execution(execution_id: str | None) -> None:
    event = EventRaised(timestamp=AT, name="Go")
    ended = (*RUNNING[:-1], ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.FAILED), RUNNING[-1])
    admission = admit(fold(ended), [(to_me(event, execution_id=execution_id), 1)])
    assert admission == Admission(unclaimed=() if execution_id else (0,))


def test_a_suspension_delivered_again_after_the_resumption_is_dropped() -> None:
    suspended = ExecutionSuspended(timestamp=AT, reason="pause")
    history = (*RUNNING, suspended, ExecutionResumed(timestamp=LATER))
    assert admitted(history, suspended) == Admission()
    assert admitted(history, ExecutionSuspended(timestamp=LATER, reason="pause")).marks == (0,)


def test_events_recorded_during_a_suspension_are_noticed() -> None:
    suspended = (*RUNNING, ExecutionSuspended(timestamp=AT))
    assert not fold(suspended).has_suspended_events
    assert fold((*suspended, completed(0))).has_suspended_events
    assert fold((*suspended, EventRaised(timestamp=AT, name="Go"))).has_suspended_events
    assert not fold((*suspended, completed(0), ExecutionResumed(timestamp=AT))).has_suspended_events


def test_an_event_without_an_execution_id_is_for_the_current_execution() -> None:
    terminate = ExecutionTerminated(timestamp=AT, input="enough")
    admission = admit(fold(RUNNING), [(to_me(terminate, execution_id=None), 1)])
    assert admission.delivered == (0,)


def test_a_result_whose_request_is_not_in_the_history_yet_waits() -> None:
    assert admitted(RUNNING, completed(0), completed(5)).deferred == (1,)


def test_a_result_without_a_request_does_not_wait_for_ever() -> None:
    assert admitted(RUNNING, completed(5), dequeue_count=MAX_EARLY_DELIVERIES) == Admission()


def test_an_early_result_for_a_suspended_instance_waits_for_its_resumption() -> None:
    suspended = (*RUNNING, ExecutionSuspended(timestamp=AT))
    assert admitted(suspended, completed(5), dequeue_count=MAX_EARLY_DELIVERIES).deferred == (0,)


@pytest.mark.parametrize(("dequeue_count", "deferred"), [(1, (0,)), (MAX_DELIVERIES_TO_NOTHING + 1, ())])
def test_a_result_for_an_unknown_instance_waits_for_about_a_minute(dequeue_count: int, deferred: tuple[int]) -> None:
    assert admitted((), completed(0), dequeue_count=dequeue_count).deferred == deferred


def timer(at: datetime = LATER) -> TimerCreated:
    return TimerCreated(timestamp=AT, event_id=0, fire_at=at)


def fired(at: datetime = LATER) -> TimerFired:
    return TimerFired(timestamp=AT, timer_id=0, fire_at=at)


CHILD = SubOrchestrationInstanceCreated(timestamp=AT, event_id=0, name="C", instance_id="child")
CHILD_COMPLETED = SubOrchestrationInstanceCompleted(timestamp=LATER, task_scheduled_id=0, result="1")
CHILD_FAILED = SubOrchestrationInstanceFailed(timestamp=LATER, task_scheduled_id=0, reason="r")
RESULTS: dict[HistoryEvent, list[HistoryEvent]] = {
    scheduled(0): [completed(0), failure(0)],
    timer(): [fired()],
    CHILD: [CHILD_COMPLETED, CHILD_FAILED],
}


@pytest.mark.parametrize("request_event", RESULTS, ids=lambda event: event.type_name)
def test_a_task_takes_only_results_of_its_own_kind(request_event: HistoryEvent) -> None:
    history = first_episode(request_event)
    for kind, results in RESULTS.items():
        for result in results:
            assert admitted(history, result).delivered == ((0,) if kind is request_event else ())
            assert admitted(history, result).deferred == ()


def test_a_dropped_result_does_not_keep_out_the_right_one() -> None:
    assert admitted(first_episode(scheduled(0)), fired(), CHILD_FAILED, completed(0)).delivered == (2,)


def test_a_timer_that_fires_at_another_time_is_that_of_a_lost_episode() -> None:
    admission = admitted(first_episode(timer()), fired(AT), fired())
    assert admission == Admission(delivered=(1,))


def test_a_timer_before_all_times_of_a_table_fires() -> None:
    first = datetime.min.replace(tzinfo=timezone.utc)
    for recorded in (first, EARLIEST_TIME):
        assert admitted(first_episode(timer(recorded)), fired(first)).delivered == (0,)


@pytest.mark.parametrize("event", [completed(0), failure(0)])
def test_the_result_of_another_request_with_the_same_task_id_is_dropped(event: HistoryEvent) -> None:
    lost, own = (replace(to_me(event), request_time=at) for at in (LATER, AT))
    history = first_episode(scheduled(0))
    assert admit(fold(history), [(lost, 1), (own, 1)]) == Admission(delivered=(1,))


@pytest.mark.parametrize("event", [completed(0), failure(0)])
def test_a_result_of_a_real_host_which_does_not_identify_its_request_is_accepted(event: HistoryEvent) -> None:
    assert admit(fold(first_episode(scheduled(0))), [(to_me(event), 1)]).delivered == (0,)


def requested(number: int, *, signal: bool = False) -> EventSent:
    text = json.dumps({"op": "get", "signal": signal, "id": f"request-{number}"})
    return EventSent(timestamp=AT, event_id=number, instance_id="@counter@one", name="op", input=text)


def entity_result(number: int, sender: str = "@counter@one") -> TaskMessage:
    event = EventRaised(timestamp=AT, name=f"request-{number}", input='{"result":"1"}')
    return replace(to_me(event), sender=OrchestrationInstance(instance_id=sender, execution_id="x1"))


def test_the_result_of_an_entity_call_is_delivered_once_and_is_no_external_event() -> None:
    history = first_episode(requested(0), requested(1))
    admission = admit(fold(history), [(entity_result(1), 1), (entity_result(1), 1)])
    assert (admission.delivered, admission.raised) == ((0,), ())
    recorded = (
        *history,
        OrchestratorStarted(timestamp=AT),
        entity_result(1).event,
        OrchestratorCompleted(timestamp=AT),
    )
    assert admit(fold(recorded), [(entity_result(1), 1)]) == Admission()
    assert admit(fold(recorded), [(entity_result(0), 1)]).delivered == (0,)


def test_the_result_of_an_entity_call_waits_until_its_request_is_recorded() -> None:
    history = first_episode(requested(0), requested(1, signal=True))
    assert admit(fold(history), [(entity_result(7), 1), (entity_result(1), 1)]).deferred == (0, 1)
    assert admit(fold(history), [(entity_result(7), MAX_EARLY_DELIVERIES)]) == Admission()


def test_a_result_for_an_old_execution_of_the_caller_is_dropped() -> None:
    target = OrchestrationInstance(instance_id="me", execution_id="e0")
    old = (replace(entity_result(0), target=target), MAX_DELIVERIES_TO_NOTHING + 1)
    assert admit(fold(first_episode(requested(0))), [old, (entity_result(0), 1)]).delivered == (1,)


def test_an_event_of_a_client_is_external_whatever_else_was_sent() -> None:
    history = first_episode(requested(0), EventSent(timestamp=AT, event_id=1, instance_id="you", name="Go", input="7"))
    assert admitted(history, EventRaised(timestamp=AT, name="Go")).raised == (0,)


def test_a_finished_execution_accepts_nothing() -> None:
    end = ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.FAILED)
    history = (*RUNNING[:-1], end, RUNNING[-1])
    assert fold(history).status is RuntimeStatus.FAILED
    assert admitted(history, completed(0), ExecutionTerminated(timestamp=AT)) == Admission()


def test_the_current_execution_is_that_of_the_start() -> None:
    assert fold(RUNNING).execution_id == "e1"
    assert isinstance(fold(RUNNING).started, ExecutionStarted)


def test_a_record_is_restated_from_the_history_alone() -> None:
    end = ExecutionCompleted(timestamp=LATER, orchestration_status=RuntimeStatus.FAILED, result="boom")
    running, failed = (restated(fold(history), history) for history in (RUNNING, (*RUNNING[:-1], end)))
    assert (running.runtime_status, running.output, running.completed_at) == (RuntimeStatus.RUNNING, None, None)
    assert (failed.runtime_status, failed.output, failed.completed_at) == (RuntimeStatus.FAILED, "boom", LATER)
    assert (failed.execution_id, failed.started) == ("e1", started())
