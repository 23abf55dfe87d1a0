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


def test_the_inputs_of_failed_activities_are_kept_until_their_task_runs_again() -> None:
    starts = ActivityStarts()
    starts.note_failure("a", 0, '["x"]')
    starts.note_failure("a", 1, None)
    starts.note_failure("a", 2, "x" * 5000)
    starts.note_failure("b", 0, '["y"]')
    assert starts.failed_inputs("a") == {0: '["x"]'}
    starts.note("a", 0, AT)
    assert starts.failed_inputs("a") == {}
    assert starts.failed_inputs("b") == {0: '["y"]'}


def test_the_oldest_inputs_are_forgotten() -> None:
    starts = ActivityStarts()
    for task_id in range(1500):
        starts.note_failure("a", task_id, "[1]")
    assert list(starts.failed_inputs("a")) == list(range(500, 1500))
