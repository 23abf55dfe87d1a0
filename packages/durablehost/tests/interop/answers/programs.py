"""Programs of the orchestrator in `tests/apps/scripted`, and the steps that start and show their instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from packages.durablehost.tests.interop.answers.steps import Call, Step, Until, get, post

Program = Sequence[object]

WAITING: Program = [["event", "go"]]
DONE: Program = [["activity", "echo", 1]]
FAILED: Program = [["fail", "on purpose"]]
HISTORY = "showHistory=true&showHistoryOutput=true"


def start(path: str, steps: Program = DONE) -> Call:
    """A start whose answer is compared; `path` is that below `orchestrators`."""
    return post(f"orchestrators/{path}", {"steps": steps, "results": []})


def begun(instance_id: str, steps: Program) -> Call:
    return replace(start(f"script/{instance_id}", steps), is_compared=False)


def started(instance_id: str, steps: Program, status: str) -> list[Step]:
    """Starts an instance and waits for a status."""
    return [begun(instance_id, steps), Until(instance_id=instance_id, status=status)]


def shown(instance_id: str) -> list[Step]:
    """The status of an instance, without and with its history."""
    return [get(f"instances/{instance_id}"), get(f"instances/{instance_id}?{HISTORY}")]


def until(instance_id: str, status: str) -> Step:
    return Until(instance_id=instance_id, status=status)


def until_event(instance_id: str, event_type: str) -> Step:
    return Until(instance_id=instance_id, event_type=event_type)
