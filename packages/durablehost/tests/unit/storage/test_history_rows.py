"""History events as table rows, compared with the columns of a real host."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from durablehost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorStarted,
    ParentInstance,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from durablehost.core.status import RuntimeStatus
from durablehost.errors import StorageError
from durablehost.storage.rows.history_rows import event_of_row, is_large, row_of_event, utf16_units

AT = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=timezone.utc)
ORDER = OrchestrationInstance(instance_id="order-42", execution_id="0f6d")
PARENT = ParentInstance(name="ProcessOrder", orchestration_instance=ORDER, task_schedule_id=2, version="")
SHARED = {"EventId": -1, "IsPlayed": False, "_Timestamp": AT, "ExecutionId": "0f6d"}


@pytest.mark.parametrize("version", [None, "", "1.0"])
def test_the_version_of_an_instance_is_read_back_as_it_was_stored(version: str | None) -> None:
    start = ExecutionStarted(timestamp=AT, orchestration_instance=ORDER, name="Pack", version=version)
    assert event_of_row(row_of_event(start, "e1")) == start


def test_a_start_stores_nested_objects_as_json_without_types() -> None:
    event = ExecutionStarted(
        timestamp=AT, is_played=True, orchestration_instance=ORDER, parent_instance=PARENT, name="Pack", generation=3
    )
    assert row_of_event(event, "0f6d") == {
        **SHARED,
        "IsPlayed": True,
        "EventType": "ExecutionStarted",
        "OrchestrationInstance": '{"InstanceId":"order-42","ExecutionId":"0f6d"}',
        "ParentInstance": '{"Name":"ProcessOrder","OrchestrationInstance":{"InstanceId":"order-42",'
        '"ExecutionId":"0f6d"},"TaskScheduleId":2,"Version":""}',
        "Name": "Pack",
        "Tags": "null",
        "ParentTraceContext": "null",
        "Generation": 3,
        "GenerateNewTrace": False,
    }


def test_a_status_is_stored_by_name() -> None:
    row = row_of_event(
        ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.COMPLETED, result="1"), "0f6d"
    )
    assert row == {
        **SHARED,
        "EventType": "ExecutionCompleted",
        "OrchestrationStatus": "Completed",
        "Result": "1",
        "FailureDetails": "null",
    }


def test_times_stay_times() -> None:
    row = row_of_event(TimerFired(timestamp=AT, timer_id=4, fire_at=AT), "0f6d")
    assert (row["TimerId"], row["FireAt"]) == (4, AT)


def test_an_event_without_members_has_the_shared_columns_only() -> None:
    assert row_of_event(OrchestratorStarted(timestamp=AT), "0f6d") == {**SHARED, "EventType": "OrchestratorStarted"}


@pytest.mark.parametrize(
    "event",
    [
        ExecutionStarted(timestamp=AT, orchestration_instance=ORDER, parent_instance=PARENT, name="P", tags={"a": "b"}),
        TaskFailed(timestamp=AT, task_scheduled_id=3, reason="r", details="d", failure_details={"ErrorType": "E"}),
        ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.FAILED),
    ],
)
def test_an_event_is_read_back_from_its_row(event: HistoryEvent) -> None:
    assert event_of_row(row_of_event(event, "0f6d")) == event


def test_a_row_of_an_older_host_lacks_nulls_and_one_of_a_newer_has_more() -> None:
    row = row_of_event(TaskScheduled(timestamp=AT, event_id=7, name="Pack", version=None), "0f6d")
    del row["Tags"], row["ParentTraceContext"]
    read = event_of_row({**row, "Novelty": "x", "Version": "1"})
    assert read == TaskScheduled(timestamp=AT, event_id=7, name="Pack", version="1")


@pytest.mark.parametrize(
    "row", [{}, {"EventType": "Novelty", "_Timestamp": AT}, {"EventType": "TaskCompleted", "_Timestamp": AT}]
)
def test_a_row_that_is_no_event_is_an_error_that_names_it(row: dict[str, object]) -> None:
    with pytest.raises(StorageError, match="order-42/0007"):
        event_of_row({**row, "PartitionKey": "order-42", "RowKey": "0007"})


def test_sizes_are_counted_in_utf16_units() -> None:
    assert utf16_units("aé日") == 3
    assert utf16_units("😀") == 2
    assert not is_large("é" * 30_720)
    assert is_large("é" * 30_721)
    assert not is_large("😀" * 15_360)
    assert is_large("😀" * 15_361)
