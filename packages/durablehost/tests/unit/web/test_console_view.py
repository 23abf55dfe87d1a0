"""What the console shows of a record and of a history."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from durablehost.core.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.status import RuntimeStatus
from durablehost.web.console.view import entries_of, history_pieces, show_instance, show_row
from packages.durablehost.tests.unit.web.fakes import BEGIN, FakeHub

STARTED = ExecutionStarted(
    timestamp=BEGIN,
    orchestration_instance=OrchestrationInstance(instance_id="a", execution_id="e1"),
    name="Orch",
    input="17",
)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def shown(*events: HistoryEvent, starts: dict[int, datetime] | None = None) -> list[dict[str, Any]]:
    text = "".join(history_pieces(entries_of(events), starts or {}))
    entries: list[dict[str, Any]] = json.loads(text)["entries"]
    return entries


def test_a_request_and_its_result_are_one_line() -> None:
    (line,) = shown(
        OrchestratorStarted(timestamp=at(0)),
        TaskScheduled(timestamp=at(1), event_id=0, name="Work", input="[1]"),
        OrchestratorCompleted(timestamp=at(1)),
        TaskCompleted(timestamp=at(4), task_scheduled_id=0, result='"done"'),
        starts={0: at(3)},
    )
    assert line == {
        "kind": "activity",
        "name": "Work",
        "at": "2026-03-01T10:00:01.123456Z",
        "task": 0,
        "began": "2026-03-01T10:00:03.123456Z",
        "ended": "2026-03-01T10:00:04.123456Z",
        "failed": False,
        "input": {"text": "[1]", "length": 3},
        "result": {"text": '"done"', "length": 6},
    }


def test_a_request_without_a_result_has_no_end() -> None:
    (line,) = shown(TaskScheduled(timestamp=at(1), event_id=0, name="Work"))
    assert line == {"kind": "activity", "name": "Work", "at": "2026-03-01T10:00:01.123456Z", "task": 0}


@pytest.mark.parametrize("seconds", [0, 9])
def test_the_start_of_another_execution_is_not_shown(seconds: float) -> None:
    (line,) = shown(
        TaskScheduled(timestamp=at(1), event_id=0, name="Work"),
        TaskCompleted(timestamp=at(4), task_scheduled_id=0),
        starts={0: at(seconds)},
    )
    assert "began" not in line


def test_every_kind_of_line_has_its_facts() -> None:
    lines = shown(
        STARTED,
        TaskScheduled(timestamp=at(1), event_id=0, name="Work"),
        SubOrchestrationInstanceCreated(timestamp=at(1), event_id=1, name="Child", instance_id="a:1"),
        TimerCreated(timestamp=at(1), event_id=2, fire_at=at(9)),
        EventRaised(timestamp=at(2), name="approve", input="true"),
        TaskFailed(timestamp=at(3), task_scheduled_id=0, reason="it broke", details="line 1"),
        SubOrchestrationInstanceFailed(timestamp=at(3), task_scheduled_id=1, reason="the child broke"),
        TimerFired(timestamp=at(1), timer_id=2, fire_at=at(9)),
        GenericEvent(timestamp=at(9)),
        ExecutionCompleted(timestamp=at(10), event_id=3, orchestration_status=RuntimeStatus.FAILED, result="it broke"),
    )
    assert [line["kind"] for line in lines] == [
        "started", "activity", "sub-orchestration", "timer", "event", "ended",
    ]  # fmt: skip
    started, activity, child, timer, event, ended = lines
    assert started["input"]["text"] == "17"
    assert (activity["failed"], activity["error"]["text"], activity["details"]["text"]) == (True, "it broke", "line 1")
    assert (child["instanceId"], child["failed"]) == ("a:1", True)
    assert (timer["fireAt"], timer["ended"], timer["failed"]) == (
        "2026-03-01T10:00:09.123456Z", "2026-03-01T10:00:09.123456Z", False,
    )  # fmt: skip
    assert (event["name"], event["input"]["text"]) == ("approve", "true")
    assert (ended["status"], ended["result"]["text"]) == ("Failed", "it broke")
    assert [line.get("task") for line in lines] == [None, 0, 1, 2, None, None]


def test_long_texts_of_a_history_are_cut() -> None:
    (line,) = shown(TaskScheduled(timestamp=at(1), event_id=0, name="Work", input="x" * 5000))
    assert line["input"] == {"text": "x" * 200, "length": 5000}


def test_a_row_has_no_payloads_and_an_instance_has_them() -> None:
    record = FakeHub().add("a", input="17", output='"done"', custom_status='{"done": 1, "total": 4}', parent_id="p")
    row = show_row(record)
    assert (row["id"], row["name"], row["status"], row["parentId"]) == ("a", "Orch", "Running", "p")
    assert row["execution"] == "e1"
    assert row["created"] == "2026-03-01T10:00:00.123456Z"
    assert row["progress"] == {"done": 1, "total": 4, "failed": 0, "unit": "", "phase": None, "end": None}
    assert "input" not in row
    instance = show_instance(record)
    assert instance["input"] == {"text": "17", "length": 2}
    assert instance["output"] == {"text": '"done"', "length": 6}
