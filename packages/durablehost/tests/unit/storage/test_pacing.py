"""When a batch is due: it waits only for a reason, and never for long."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from durablehost.core.history import (
    ExecutionStarted,
    OrchestrationInstance,
    ParentInstance,
    TaskCompleted,
    TaskScheduled,
)
from durablehost.core.messages import TaskMessage
from durablehost.storage.messages.pacing import (
    BEGIN_CHILD_SECONDS,
    BEGIN_SECONDS,
    FEW_REQUESTS,
    LONGEST_REST_SECONDS,
    MANY_MESSAGES,
    MANY_REQUESTS,
    QUIET_SECONDS,
    RESTS_PER_EPISODE,
    STALLED_SECONDS,
    UNKNOWN_REQUESTS,
    Pace,
)
from durablehost.storage.messages.queues import StoredMessage
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.messages.sessions import Batch
from packages.durablehost.tests.hubs import build


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


def result_message(task_id: int, instance_id: str = "a") -> TaskMessage:
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
    pace.begin(batch(result_message(0, instance_id)))
    time.now += seconds
    pace.end(instance_id, is_over=False)


def test_an_episode_is_due_at_once_while_no_activity_is_running() -> None:
    time = Time()
    pace = Pace(time)
    busy(pace, time, 0.125)
    assert pace.wait_seconds(batch(result_message(0)), time.now) == 0


def test_an_instance_rests_after_an_episode_until_its_last_activity_has_a_result() -> None:
    time = Time()
    pace = Pace(time)
    for task_id in (0, 1):
        pace.sent(request(task_id))
    busy(pace, time, 0.125)
    pace.received(result_message(0))
    assert pace.wait_seconds(batch(result_message(0)), time.now) == 0.125 * RESTS_PER_EPISODE
    pace.received(result_message(1))
    assert pace.wait_seconds(batch(result_message(0), result_message(1)), time.now) == 0


def test_a_rest_ends_after_a_limited_time() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(0))
    busy(pace, time, 0.125)
    ready_at = time.now
    time.now += 0.125 * RESTS_PER_EPISODE
    assert pace.wait_seconds(batch(result_message(0)), ready_at) == 0
    busy(pace, time, 60)
    assert pace.wait_seconds(batch(result_message(0)), time.now) == LONGEST_REST_SECONDS


def test_a_resting_instance_does_not_delay_other_instances() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(0))
    busy(pace, time, 10)
    assert pace.wait_seconds(batch(result_message(0, "b")), time.now) == 0


def test_many_messages_end_a_rest() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(MANY_MESSAGES))
    busy(pace, time, 10)
    assert pace.wait_seconds(batch(*map(result_message, range(MANY_MESSAGES))), time.now) == 0


def test_a_finished_instance_has_no_running_activities() -> None:
    time = Time()
    pace = Pace(time)
    pace.sent(request(0))
    pace.begin(batch(result_message(0)))
    time.now += 10
    pace.end("a", is_over=True)
    assert pace.wait_seconds(batch(result_message(0)), time.now) == 0


def test_a_repeated_request_or_result_counts_once() -> None:
    time = Time()
    pace = Pace(time)
    for _ in range(3):
        pace.sent(request(0))
    busy(pace, time, 1)
    for _ in range(3):
        pace.received(result_message(0))
    assert pace.wait_seconds(batch(result_message(0)), time.now) == 0


def crowded(time: Time) -> Pace:
    pace = Pace(time)
    for task_id in range(MANY_REQUESTS + 1):
        pace.sent(request(task_id))
    pace.received(result_message(0))
    return pace


def test_an_execution_begins_at_once_unless_many_activities_are_running() -> None:
    time = Time()
    assert Pace(time).wait_seconds(batch(build.start("b")), time.now) == 0
    pace = crowded(time)
    assert pace.wait_seconds(batch(build.start("b")), time.now) > 0
    pace.received(result_message(1))
    assert pace.wait_seconds(batch(build.start("b")), time.now) == 0


def test_an_execution_does_not_wait_for_slow_activities() -> None:
    time = Time()
    pace = crowded(time)
    ready_at = time.now
    time.now += QUIET_SECONDS
    assert pace.wait_seconds(batch(build.start("b")), ready_at) == 0


@pytest.mark.parametrize(
    ("start", "seconds"), [(build.start("b"), BEGIN_SECONDS), (child_start("b"), BEGIN_CHILD_SECONDS)]
)
def test_executions_begin_at_intervals_however_many_activities_are_running(start: TaskMessage, seconds: float) -> None:
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


def test_expected_requests_of_first_episodes_count_too() -> None:
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


def test_a_parent_does_not_predict_the_requests_of_its_children() -> None:
    time = Time()
    pace = Pace(time)
    begin_and_ask(pace, child_start("child"), MANY_REQUESTS - 1)
    pace.end("child", is_over=True)
    begin_and_ask(pace, build.start("parent"), 1)
    pace.end("parent", is_over=False)

    pace.begin(batch(child_start("second")))
    assert pace.wait_seconds(batch(child_start("third")), time.now) > 0


def test_the_first_of_many_executions_begin_before_their_requests_are_known() -> None:
    time = Time()
    pace = Pace(time)
    begun = 0
    while pace.wait_seconds(batch(build.start(f"root-{begun}")), time.now) == 0:
        pace.begin(batch(build.start(f"root-{begun}")))
        begun += 1
    assert begun == MANY_REQUESTS // UNKNOWN_REQUESTS


def after_child(time: Time, requests: int) -> Pace:
    """A pace after the first child of its kind has sent so many requests and ended."""
    pace = Pace(time)
    begin_and_ask(pace, child_start("first"), requests)
    pace.end("first", is_over=True)
    return pace


def test_a_child_waits_until_it_is_known_how_many_requests_the_first_of_its_kind_sends() -> None:
    time = Time()
    pace = Pace(time)
    pace.begin(batch(child_start("first")))
    assert pace.wait_seconds(batch(child_start("second")), time.now) > 0
    pace.end("first", is_over=False)
    assert pace.wait_seconds(batch(child_start("second")), time.now) == 0


def test_large_children_begin_one_after_another() -> None:
    time = Time()
    pace = after_child(time, FEW_REQUESTS + 1)
    pace.begin(batch(child_start("second")))
    assert pace.wait_seconds(batch(child_start("third")), time.now) > 0
    pace.end("second", is_over=False)
    assert pace.wait_seconds(batch(child_start("third")), time.now) == 0


def test_small_children_begin_side_by_side() -> None:
    time = Time()
    pace = after_child(time, FEW_REQUESTS)
    pace.begin(batch(child_start("second")))
    assert pace.wait_seconds(batch(child_start("third")), time.now) == 0


def test_a_large_child_waits_for_the_results_of_others_as_long_as_there_are_any() -> None:
    time = Time()
    pace = after_child(time, MANY_REQUESTS)
    for task_id in range(1000):
        pace.sent(request(task_id))
    ready_at = time.now
    for task_id in range(1000 - MANY_REQUESTS):
        time.now += STALLED_SECONDS / 2
        pace.received(result_message(task_id))
        assert pace.wait_seconds(batch(child_start("second")), ready_at) == STALLED_SECONDS
    pace.received(result_message(999))
    assert pace.wait_seconds(batch(child_start("second")), ready_at) == 0


def test_a_large_child_begins_if_there_are_no_results_for_long() -> None:
    time = Time()
    pace = after_child(time, MANY_REQUESTS)
    for task_id in range(1000):
        pace.sent(request(task_id))
    ready_at = time.now
    time.now += STALLED_SECONDS
    assert pace.wait_seconds(batch(child_start("second")), ready_at) == 0


def test_a_large_child_waits_until_results_are_recorded() -> None:
    time = Time()
    is_recorded = False
    pace = Pace(time, lambda: is_recorded)
    begin_and_ask(pace, child_start("first"), MANY_REQUESTS)
    pace.end("first", is_over=True)
    assert pace.wait_seconds(batch(child_start("second")), time.now) > 0
    is_recorded = True
    assert pace.wait_seconds(batch(child_start("second")), time.now) == 0


def test_a_root_waits_as_long_as_the_last_one_took_to_send_its_requests() -> None:
    time = Time()
    pace = Pace(time)
    begin_and_ask(pace, build.start("first"), MANY_REQUESTS)
    time.now += 3
    pace.end("first", is_over=False)
    pace.sent(request(0))
    ready_at = time.now
    for _ in range(23):
        assert pace.wait_seconds(batch(build.start("second")), ready_at) > 0
        time.now += 0.125
        pace.received(result_message(0))
        pace.sent(request(0))
    time.now += 0.125
    assert pace.wait_seconds(batch(build.start("second")), ready_at) == 0
