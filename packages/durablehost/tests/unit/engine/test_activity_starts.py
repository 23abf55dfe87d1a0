"""The times at which activities began: kept by instance and task, in bounded memory."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from durablehost.engine.activity_starts import ActivityStarts

AT = datetime(2026, 1, 5, 10, tzinfo=timezone.utc)


def test_the_last_attempt_of_each_task_counts() -> None:
    starts = ActivityStarts()
    starts.note("a", 0, AT)
    starts.note("a", 1, AT)
    starts.note("a", 0, AT + timedelta(seconds=5))
    assert dict(starts.of("a")) == {0: AT + timedelta(seconds=5), 1: AT}
    assert dict(starts.of("b")) == {}


def test_the_instances_that_were_used_longest_ago_are_forgotten() -> None:
    starts = ActivityStarts(most=3)
    for name in ("a", "b", "c", "a", "d"):
        starts.note(name, 0, AT)
    assert [name for name in "abcd" if starts.of(name)] == ["a", "c", "d"]


def test_an_instance_with_more_tasks_than_the_limit_is_kept() -> None:
    starts = ActivityStarts(most=3)
    for task_id in range(10):
        starts.note("a", task_id, AT)
    assert len(starts.of("a")) == 10
