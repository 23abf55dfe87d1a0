"""Whether a start that came out of a queue is to be run, by the row its client writes after sending it.

Pure. Mirrors the de-duplication of ExecutionStarted messages in DurableTask.AzureStorage.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from devhost.core.history import ExecutionStarted
from devhost.core.status import RuntimeStatus
from devhost.engine.ports import InstanceRecord

MAX_DELIVERIES = 10


class Verdict(Enum):
    """What to do with a start."""

    ACCEPT = "accept"
    DELETE = "delete"
    LATER = "later"


def judge_start(
    start: ExecutionStarted, record: InstanceRecord | None, *, dequeue_count: int, inserted_at: datetime | None
) -> Verdict:
    """A start without its row is either early or was never confirmed; one with another's row may be overtaken.

    One whose row says that it has ended was terminated before it began, or has been taken already.
    """
    if start.parent_instance is not None:
        return Verdict.ACCEPT
    if record and _same_execution(start, record):
        return Verdict.DELETE if record.runtime_status.is_terminal else Verdict.ACCEPT
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
