"""Decides whether a received start is run, by the row that its client writes after sending it.

Pure. Mirrors the de-duplication of ExecutionStarted messages in DurableTask.AzureStorage.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from durablehost.core.history import ExecutionStarted
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord

MAX_DELIVERIES = 10


class Verdict(Enum):
    """What to do with a start."""

    ACCEPT = "accept"
    DELETE = "delete"
    LATER = "later"


def judge_start(
    start: ExecutionStarted, record: InstanceRecord | None, *, dequeue_count: int, inserted_at: datetime | None
) -> Verdict:
    """Decides what to do with a start, by the row of its instance.

    Without a row, the client has not confirmed the start yet, or never will. If the row is of another execution, the
    start may be overtaken. If its own row is finished, it was terminated before it began, or has run already.
    """
    if start.parent_instance is not None:
        return Verdict.ACCEPT
    if record and _same_execution(start, record):
        return Verdict.DELETE if record.runtime_status.is_finished else Verdict.ACCEPT
    if record and _is_overtaken(start, record, dequeue_count=dequeue_count, inserted_at=inserted_at):
        return Verdict.DELETE
    return Verdict.DELETE if dequeue_count >= MAX_DELIVERIES else Verdict.LATER


def _same_execution(start: ExecutionStarted, record: InstanceRecord) -> bool:
    wanted = start.orchestration_instance.execution_id or ""
    return record.execution_id is None or record.execution_id.lower() == wanted.lower()


def _is_overtaken(
    start: ExecutionStarted, record: InstanceRecord, *, dequeue_count: int, inserted_at: datetime | None
) -> bool:
    if start.generation != record.generation:
        return False
    if record.runtime_status is RuntimeStatus.PENDING and record.created_at < start.timestamp:
        return True
    return dequeue_count > 1 and inserted_at is not None and inserted_at > record.created_at
