"""A run of the app of this repository as the console finds it: its history, and its output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from durablehost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.unit.web.fakes import BEGIN, FakeHub

SERIES = ("EWR.temp", "JFK.temp", "LGA.temp")
_WINDOW = datetime(2013, 1, 1, tzinfo=timezone.utc)


def run_history(chunks: int, *, failed: frozenset[int] = frozenset()) -> tuple[HistoryEvent, ...]:
    """A whole run of so many chunks; those in `failed` have failed."""
    instance = OrchestrationInstance(instance_id="run", execution_id="e1")
    output = json.dumps(run_output(chunks, failed=failed))
    return (
        ExecutionStarted(timestamp=BEGIN, orchestration_instance=instance, name="Orch", input="{}"),
        *(TaskScheduled(timestamp=BEGIN, event_id=chunk, name="process_chunk") for chunk in range(chunks)),
        *_results(chunks, failed),
        ExecutionCompleted(timestamp=_end(chunks), orchestration_status=RuntimeStatus.COMPLETED, result=output),
    )


def run_output(chunks: int, *, failed: frozenset[int] = frozenset()) -> dict[str, Any]:
    """What the run returns."""
    total = {"count": 24 * chunks, "mean": 5.5, "std": 3.25, "min": -12.0, "max": 30.0}
    return {
        "status": "partial" if failed else "completed",
        "total_chunks": chunks,
        "succeeded": chunks - len(failed),
        "failed": len(failed),
        "start": _time(0),
        "end": _time(chunks),
        "results": [_failure(chunk) if chunk in failed else _report(chunk) for chunk in range(chunks)],
        "summary": dict.fromkeys(SERIES, total),
    }


def add_run(hub: FakeHub, chunks: int, *, failed: frozenset[int] = frozenset()) -> None:
    """Stores the instance `run`, which has completed."""
    hub.histories["run"] = run_history(chunks, failed=failed)
    output = json.dumps(run_output(chunks, failed=failed))
    hub.add("run", RuntimeStatus.COMPLETED, output=output, completed_at=_end(chunks))


def add_grouped_run(hub: FakeHub, *, groups: int, chunks: int) -> None:
    """Stores the instance `run`, whose sub-orchestrations have processed so many chunks each."""
    events: list[HistoryEvent] = []
    for group in range(groups):
        first, child = group * chunks, f"run:{group}"
        reports = [_report(first + number) for number in range(chunks)]
        result = json.dumps({"results": reports, "statistics": {name: _statistics(group) for name in SERIES}})
        events += [
            SubOrchestrationInstanceCreated(timestamp=BEGIN, event_id=group, name="Orch", instance_id=child),
            SubOrchestrationInstanceCompleted(timestamp=_end(group), task_scheduled_id=group, result=result),
        ]
        hub.add(child, RuntimeStatus.COMPLETED)
        hub.histories[child] = run_history(first + chunks)[1 + first :]
    add_run(hub, groups * chunks)
    hub.histories["run"] = tuple(events)


def _results(chunks: int, failed: frozenset[int]) -> Iterator[HistoryEvent]:
    for chunk in range(chunks):
        if chunk in failed:
            yield TaskFailed(timestamp=_end(chunk), task_scheduled_id=chunk, reason="ReadingsError: damaged file")
        else:
            result = {**_report(chunk), "statistics": {name: _statistics(chunk + n) for n, name in enumerate(SERIES)}}
            yield TaskCompleted(timestamp=_end(chunk), task_scheduled_id=chunk, result=json.dumps(result))


def _end(chunk: int) -> datetime:
    return BEGIN + timedelta(milliseconds=1000 + 10 * chunk)


def _report(chunk: int) -> dict[str, Any]:
    window = {"start": _time(chunk), "end": _time(chunk + 1)}
    return {"chunk_id": chunk, "status": "success", "processing_time": 0.25, **window, "records": 72}


def _failure(chunk: int) -> dict[str, Any]:
    error = {"type": "ReadingsError", "message": "damaged file"}
    return {"chunk_id": chunk, "status": "failed", "start": _time(chunk), "end": _time(chunk + 1), "error": error}


def _statistics(number: int) -> dict[str, Any]:
    mean = float(number % 40 - 10)
    return {"count": 24, "mean": mean, "std": 2.0, "min": mean - 4, "max": mean + 4, "m2": 92.0, "nulls": 0}


def _time(chunk: int) -> str:
    return (_WINDOW + timedelta(hours=chunk)).isoformat().replace("+00:00", "Z")
