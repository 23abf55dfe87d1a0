"""The open work of an execution: requests without results, attempts, pauses between attempts."""

from __future__ import annotations

from datetime import datetime, timedelta

from durablehost.core.entity_messages import EntityRequest, request_to_text
from durablehost.core.history import (
    EventRaised,
    EventSent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.ids import EntityId
from durablehost.core.open_work import open_work
from durablehost.core.replay import RetryState
from packages.durablehost.tests.unit.core.examples import AT, first_episode

SOON = AT + timedelta(seconds=30)


def episode(*events: HistoryEvent) -> tuple[HistoryEvent, ...]:
    return (OrchestratorStarted(timestamp=AT), *events, OrchestratorCompleted(timestamp=AT))


def activity(task_id: int, text: str = "[1]", name: str = "A") -> TaskScheduled:
    return TaskScheduled(timestamp=AT, event_id=task_id, name=name, input=text)


def done(task_id: int) -> TaskCompleted:
    return TaskCompleted(timestamp=AT, task_scheduled_id=task_id, result="1")


def failed(task_id: int) -> TaskFailed:
    return TaskFailed(timestamp=AT, task_scheduled_id=task_id, reason="it broke")


def timer(task_id: int, fire_at: datetime = SOON) -> TimerCreated:
    return TimerCreated(timestamp=AT, event_id=task_id, fire_at=fire_at)


def fired(task_id: int) -> TimerFired:
    return TimerFired(timestamp=SOON, timer_id=task_id, fire_at=SOON)


def test_work_without_a_result_is_open() -> None:
    child = SubOrchestrationInstanceCreated(timestamp=AT, event_id=2, name="Child", instance_id="c")
    other = SubOrchestrationInstanceCreated(timestamp=AT, event_id=3, name="Child", instance_id="d")
    history = (
        *first_episode(activity(0), activity(1), child, other),
        *episode(done(0), SubOrchestrationInstanceCompleted(timestamp=AT, task_scheduled_id=3)),
    )
    work = open_work(history)
    assert [attempt.work.event_id for attempt in work.attempts] == [1, 2]
    assert (work.activity_count, work.child_count) == (2, 2)
    assert not work.is_empty


def test_an_empty_history_has_no_open_work() -> None:
    assert open_work(()).is_empty


def test_work_whose_results_are_all_there_is_not_open() -> None:
    assert open_work((*first_episode(activity(0), timer(1)), *episode(done(0), fired(1)))).is_empty


def test_a_failed_attempt_whose_timer_runs_is_a_pause_and_no_timer() -> None:
    work = open_work((*first_episode(activity(0), activity(1)), *episode(failed(1), timer(2))))
    (pause,) = work.pauses
    assert (pause.work.event_id, pause.failures, pause.error) == (1, 1, "it broke")
    assert pause.timer.fire_at == SOON
    assert work.timers == ()
    assert [attempt.work.event_id for attempt in work.attempts] == [0]


def test_the_same_work_after_the_timer_is_the_next_attempt_and_counts_as_the_same_activity() -> None:
    history = (
        *first_episode(activity(0, "[1]"), activity(1, "[2]")),
        *episode(failed(1), timer(2)),
        *episode(fired(2), activity(3, "[2]")),
        *episode(failed(3), timer(4)),
    )
    (pause,) = open_work(history).pauses
    assert (pause.work.event_id, pause.failures) == (3, 2)
    work = open_work((*history, *episode(fired(4), activity(5, "[2]"))))
    assert [(attempt.work.event_id, attempt.number) for attempt in work.attempts] == [(0, 1), (5, 3)]
    assert work.activity_count == 2


def test_work_with_another_input_is_no_further_attempt() -> None:
    history = (
        *first_episode(activity(0, "[1]")),
        *episode(failed(0), timer(1)),
        *episode(fired(1), activity(2, "[9]")),
    )
    work = open_work(history)
    assert [(attempt.work.event_id, attempt.number) for attempt in work.attempts] == [(2, 1)]
    assert work.activity_count == 2


def test_the_timer_after_the_last_attempt_is_no_pause() -> None:
    work = open_work((*first_episode(activity(0)), *episode(failed(0), timer(1, AT))))
    assert work.pauses == ()
    assert [each.event_id for each in work.timers] == [1]


def test_failures_without_a_timer_each_are_not_paired_with_timers() -> None:
    history = (*first_episode(activity(0, "[1]"), activity(1, "[2]")), *episode(failed(0), failed(1), timer(2)))
    work = open_work(history)
    assert work.pauses == ()
    assert [each.event_id for each in work.timers] == [2]


def test_calls_and_locks_of_entities_are_open_until_their_responses_and_signals_never_are() -> None:
    def sent(number: int, request: EntityRequest) -> EventSent:
        text = request_to_text(request)
        return EventSent(timestamp=AT, event_id=number, instance_id="@counter@x", name="op", input=text)

    lock = EntityRequest(id="3", operation=None, parent="me", lock_set=(EntityId("counter", "x"),))
    history = (
        *first_episode(
            sent(0, EntityRequest(id="1", operation="get", parent="me")),
            sent(1, EntityRequest(id="2", operation="add", parent="me", is_signal=True)),
            sent(2, lock),
            sent(3, EntityRequest(id="4", operation="get", parent="me")),
        ),
        *episode(EventRaised(timestamp=AT, name="1", input="{}")),
    )
    assert [(each.event_id, request.id) for each, request in open_work(history).requests] == [(2, "3"), (3, "4")]


def test_the_attempts_of_work_without_a_recorded_input_are_told_apart_by_the_inputs_that_are_known() -> None:
    def unknown(task_id: int) -> TaskScheduled:
        return TaskScheduled(timestamp=AT, event_id=task_id, name="A", input=None)

    history = (
        *first_episode(activity(0, "[1]"), activity(1, "[2]")),
        *episode(failed(0), timer(2)),
        *episode(failed(1), timer(3)),
        *episode(fired(2), fired(3), activity(4, "[2]"), unknown(5)),
    )
    work = open_work((*history, *episode(failed(4), timer(6))))
    assert [(attempt.work.event_id, attempt.number) for attempt in work.attempts] == [(5, 2)]
    assert [(pause.work.event_id, pause.failures) for pause in work.pauses] == [(4, 2)]


def test_known_retries_say_how_many_attempts_there_are_and_which_timer_is_whose() -> None:
    # Two failures in one episode, of which only the second is repeated: the order alone would pair none of them.
    history = (
        *first_episode(activity(0, "[1]"), activity(1, "[2]"), activity(2, "[3]")),
        *episode(failed(0), failed(1), timer(3)),
    )
    retries = {3: RetryState(attempt=1, most=5, failed_id=1)}
    work = open_work(history, retries)
    (pause,) = work.pauses
    assert (pause.work.event_id, pause.failures, pause.most, pause.error) == (1, 1, 5, "it broke")
    assert work.timers == ()
    work = open_work((*history, *episode(fired(3), activity(4, "[2]"))), {4: RetryState(attempt=2, most=5)})
    assert [(each.work.event_id, each.number, each.most) for each in work.attempts] == [(2, 1, None), (4, 2, 5)]


def test_the_timer_after_the_last_attempt_that_is_known_is_no_pause() -> None:
    history = (*first_episode(activity(0)), *episode(failed(0), timer(1, AT)))
    work = open_work(history, {1: RetryState(attempt=3, most=3, failed_id=0)})
    assert (work.pauses, [each.event_id for each in work.timers]) == ((), [1])
