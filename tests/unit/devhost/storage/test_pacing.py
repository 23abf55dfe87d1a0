"""When a batch is due: nothing waits without a reason, and nothing for long."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from devhost.core.history import ExecutionStarted, OrchestrationInstance, ParentInstance, TaskCompleted, TaskScheduled
from devhost.core.messages import TaskMessage
from devhost.storage.pacing import (
    BEGIN_CHILD_SECONDS,
    BEGIN_SECONDS,
    LONGEST_REST_SECONDS,
    MANY_MESSAGES,
    MANY_REQUESTS,
    QUIET_SECONDS,
    RESTS_PER_TURN,
    UNKNOWN_REQUESTS,
    Pace,
)
from devhost.storage.queues import StoredMessage
from devhost.storage.sessions import Batch, HeldMessage
from tests.hubs import build


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def instance(instance_id: str) -> OrchestrationInstance:
    return OrchestrationInstance(instance_id=instance_id, execution_id="e")


def request(task_id: int, instance_id: str = "a") -> TaskMessage:
    return TaskMessage(
        event=TaskScheduled(timestamp=build.AT, event_id=task_id, name="Say"), target=instance(instance_id)
    )


def reply(task_id: int, instance_id: str = "a") -> TaskMessage:
    event = TaskCompleted(timestamp=build.AT, task_scheduled_id=task_id)
    return TaskMessage(event=event, target=instance(instance_id))


def child_start(instance_id: str) -> TaskMessage:
    start = build.start(instance_id)
    parent = ParentInstance(orchestration_instance=instance("a"), task_schedule_id=0, name="Parent")
    return replace(start, event=replace(cast(ExecutionStarted, start.event), parent_instance=parent))


def batch(*messages: TaskMessage) -> Batch:
    first = messages[0].event
    return Batch(
        instance_id=messages[0].target.instance_id,
        queue_name="q",
        start=first if isinstance(first, ExecutionStarted) else None,
        messages=[HeldMessage(stored=cast(StoredMessage, None), message=message) for message in messages],
    )


def busy(pace: Pace, time: Time, seconds: float, instance_id: str = "a") -> None:
    pace.begin(batch(reply(0, instance_id)))
    time.now += seconds
    pace.end(instance_id, is_over=False)


def test_a_turn_is_due_at_once_while_no_activity_is_under_way() -> None:
    time = Time()
    pace = Pace(time)
    busy(pace, time, 0.125)
    assert pace.wait_seconds(batch(reply(0)), time.now) == 0


def test_an_instance_rests_after_a_turn_until_its_last_activity_is_answered() -> None:
    time = Time()
    pace = Pace(time)
    for task_id in (0, 1):
        pace.sent(request(task_id))
    busy(pace, time, 0.125)
    pace.received(reply(0))
    assert pace.wait_seconds(batch(reply(0)), time.now) == 0.125 * RESTS_PER_TURN
    pace.received(reply(1))
    assert pace.wait_seconds(batch(reply(0), reply(1)), time.now) == 0


def test_a_rest_ends_by_itself_and_is_never_long() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(0))
    busy(pace, time, 0.125)
    ready_at = time.now
    time.now += 0.125 * RESTS_PER_TURN
    assert pace.wait_seconds(batch(reply(0)), ready_at) == 0
    busy(pace, time, 60)
    assert pace.wait_seconds(batch(reply(0)), time.now) == LONGEST_REST_SECONDS


def test_others_are_not_kept_waiting_by_an_instance_that_rests() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(0))
    busy(pace, time, 10)
    assert pace.wait_seconds(batch(reply(0, "b")), time.now) == 0


def test_many_messages_are_reason_enough_for_a_turn() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(MANY_MESSAGES))
    busy(pace, time, 10)
    assert pace.wait_seconds(batch(*map(reply, range(MANY_MESSAGES))), time.now) == 0


def test_an_instance_that_is_over_has_nothing_under_way() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(0))
    pace.begin(batch(reply(0)))
    time.now += 10
    pace.end("a", is_over=True)
    assert pace.wait_seconds(batch(reply(0)), time.now) == 0


def test_a_request_or_an_answer_counts_once_however_often_it_comes() -> None:
    time = Time()
    pace = Pace(time)
    for _ in range(3):
        pace.sent(request(0))
    busy(pace, time, 1)
    for _ in range(3):
        pace.received(reply(0))
    assert pace.wait_seconds(batch(reply(0)), time.now) == 0


def crowded(time: Time) -> Pace:
    pace = Pace(time)
    for task_id in range(MANY_REQUESTS + 1):
        pace.sent(request(task_id))
    pace.received(reply(0))
    return pace


def test_an_execution_begins_at_once_unless_many_activities_are_under_way() -> None:
    time = Time()
    assert Pace(time).wait_seconds(batch(build.start("b")), time.now) == 0
    pace = crowded(time)
    assert pace.wait_seconds(batch(build.start("b")), time.now) > 0
    pace.received(reply(1))
    assert pace.wait_seconds(batch(build.start("b")), time.now) == 0


def test_an_execution_does_not_wait_for_activities_that_take_their_time() -> None:
    time = Time()
    pace = crowded(time)
    ready_at = time.now
    time.now += QUIET_SECONDS
    assert pace.wait_seconds(batch(build.start("b")), ready_at) == 0


@pytest.mark.parametrize(
    ("start", "seconds"), [(build.start("b"), BEGIN_SECONDS), (child_start("b"), BEGIN_CHILD_SECONDS)]
)
def test_however_much_is_under_way_an_execution_begins_now_and_then(start: TaskMessage, seconds: float) -> None:
    time = Time()
    pace = crowded(time)
    ready_at = time.now
    began_at: list[float] = []
    for task_id in range(1000, 1040):
        if pace.wait_seconds(batch(start), ready_at) == 0:
            began_at.append(time.now - ready_at)
            pace.begin(batch(start))
            pace.end("b", is_over=False)
        time.now += 0.125
        pace.sent(request(task_id))
    assert began_at[:4] == [seconds * number for number in (1, 2, 3, 4)]


def begin_and_ask(pace: Pace, start: TaskMessage, count: int) -> None:
    pace.begin(batch(start))
    for task_id in range(count):
        pace.sent(request(task_id, start.target.instance_id))


def test_what_first_turns_are_about_to_ask_for_counts_too() -> None:
    time = Time()
    pace = Pace(time)
    begin_and_ask(pace, build.start("first"), MANY_REQUESTS // 2)
    pace.end("first", is_over=True)

    pace.begin(batch(build.start("second")))
    assert pace.wait_seconds(batch(build.start("third")), time.now) == 0
    pace.begin(batch(build.start("third")))
    assert pace.wait_seconds(batch(build.start("fourth")), time.now) > 0
    pace.end("second", is_over=True)
    assert pace.wait_seconds(batch(build.start("fourth")), time.now) == 0


def test_a_parent_tells_nothing_of_what_its_children_ask_for() -> None:
    time = Time()
    pace = Pace(time)
    begin_and_ask(pace, child_start("child"), MANY_REQUESTS - 1)
    pace.end("child", is_over=True)
    begin_and_ask(pace, build.start("parent"), 1)
    pace.end("parent", is_over=False)

    pace.begin(batch(child_start("second")))
    assert pace.wait_seconds(batch(child_start("third")), time.now) > 0


def test_the_first_of_many_executions_begin_before_it_is_known_what_they_ask_for() -> None:
    time = Time()
    pace = Pace(time)
    begun = 0
    while pace.wait_seconds(batch(child_start(f"child-{begun}")), time.now) == 0:
        pace.begin(batch(child_start(f"child-{begun}")))
        begun += 1
    assert begun == MANY_REQUESTS // UNKNOWN_REQUESTS
