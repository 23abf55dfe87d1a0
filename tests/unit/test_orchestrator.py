"""The orchestrator with an autospecced context: its schedule and its reports. Replays are in tests/replay/app."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from unittest.mock import create_autospec

import azure.durable_functions as df
import pytest

from orchestrator_function import orchestrate
from shared_code.orchestration import GROUP_SIZE

RUN = {"start": "2025-06-17T10:00:00Z", "end": "2025-06-17T11:00:00Z", "total_chunks": 3}
TIMED = {**RUN, "time": "2025-06-17T12:00:00Z"}


@dataclass(eq=False)
class Task:
    """A task of the context: one of its own, or made of others."""

    parts: list[Task] = field(default_factory=list)


def context_for(value: object, *, is_replaying: bool = False) -> Any:
    """A context whose tasks stay open."""
    context = create_autospec(df.DurableOrchestrationContext)
    context.get_input.return_value = value
    context.is_replaying = is_replaying
    context.current_utc_datetime = datetime(2026, 3, 1, tzinfo=timezone.utc)

    context.call_activity.side_effect = lambda *_: Task()
    context.call_sub_orchestrator.side_effect = lambda *_: Task()
    context.task_all.side_effect = lambda tasks: Task(parts=tasks)
    context.task_any.side_effect = lambda tasks: Task(parts=tasks)
    return context


def inputs(context: Any) -> list[dict[str, Any]]:
    return [call.args[1] for call in context.call_activity.call_args_list]


def test_every_chunk_is_scheduled_with_its_own_window() -> None:
    context = context_for(TIMED)

    next(orchestrate(context))

    assert [call.args[0] for call in context.call_activity.call_args_list] == ["process_chunk_activity"] * 3
    assert inputs(context)[1] == {
        "chunk_id": 1,
        "start": "2025-06-17T10:20:00Z",
        "end": "2025-06-17T10:40:00Z",
        "total_chunks": 3,
        "time": "2025-06-17T12:00:00Z",
    }


def test_a_missing_time_is_that_of_the_orchestration() -> None:
    context = context_for(RUN)

    next(orchestrate(context))

    assert {chunk["time"] for chunk in inputs(context)} == {"2026-03-01T00:00:00Z"}


@pytest.mark.parametrize("value", [None, [], {}, {**TIMED, "total_chunks": 0}, {**TIMED, "extra": 1}, {"request": 1}])
def test_an_input_that_no_run_can_have_fails_with_the_reason(value: object) -> None:
    context = context_for(value)

    with pytest.raises(ValueError, match=r"body|start|total_chunks|extra|request"):
        next(orchestrate(context))

    context.call_activity.assert_not_called()


def test_the_first_custom_status_shows_no_chunk_as_done() -> None:
    context = context_for(TIMED)

    next(orchestrate(context))

    context.set_custom_status.assert_called_once()
    status = context.set_custom_status.call_args.args[0]
    assert (status["phase"], status["chunks_done"], status["chunks_total"]) == ("processing", 0, 3)
    assert (status["chunks_failed"], status["records"], status["estimated_end"]) == (0, 0, None)


@pytest.mark.parametrize("total", [GROUP_SIZE, 1])
def test_the_first_yield_schedules_every_chunk(total: int) -> None:
    context = context_for({**TIMED, "total_chunks": total})

    waited = next(orchestrate(context))

    assert len(waited.parts) == total
    context.call_sub_orchestrator.assert_not_called()


def test_more_chunks_than_fit_into_one_history_become_sub_orchestrations() -> None:
    context = context_for({**TIMED, "total_chunks": 2 * GROUP_SIZE + 1})

    next(orchestrate(context))

    calls = [call.args for call in context.call_sub_orchestrator.call_args_list]
    assert [name for name, _ in calls] == ["orchestrator_function"] * 3
    assert [(group["first_chunk"], group["chunk_count"]) for _, group in calls] == [(0, 100), (100, 100), (200, 1)]
    context.call_activity.assert_not_called()


def test_a_sub_orchestration_schedules_its_own_chunks_of_the_whole_window() -> None:
    request = {**TIMED, "total_chunks": 600}
    context = context_for({"request": request, "first_chunk": 599, "chunk_count": 1})

    next(orchestrate(context))

    assert inputs(context) == [
        {"chunk_id": 599, "start": "2025-06-17T10:59:54Z", "end": "2025-06-17T11:00:00Z"}
        | {"total_chunks": 600, "time": TIMED["time"]}
    ]


@pytest.mark.parametrize("is_replaying", [True, False])
def test_log_lines_are_quiet_on_replay(caplog: pytest.LogCaptureFixture, is_replaying: bool) -> None:
    context = context_for(TIMED, is_replaying=is_replaying)

    with caplog.at_level(logging.INFO):
        next(orchestrate(context))

    assert bool(caplog.records) is not is_replaying
