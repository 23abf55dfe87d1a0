"""The progress on a terminal: the table of `durablehost durable watch`, made of the status that the app answers."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, TextIO

from demo.view import moment, state_of
from durablehost.commands.watch_table import LiveTable
from durablehost.commands.watching import Seen
from durablehost.core.status import RuntimeStatus
from durablehost.engine.explanation import Explanation, Reason
from durablehost.engine.ports import InstanceRecord


class LiveProgress:
    """Redraws the table in place with each status, and leaves the last one on the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._table = LiveTable(stream)

    def __enter__(self) -> LiveProgress:
        self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, traceback)

    def show(self, status: dict[str, Any]) -> None:
        self._table.show([seen(status)])


def seen(status: dict[str, Any]) -> Seen:
    """The status as `durable watch` shows an instance; its progress in words stands where an explanation does there."""
    runtime_status = RuntimeStatus(status["runtimeStatus"])
    updated_at = moment(status["lastUpdatedTime"])
    record = InstanceRecord(
        instance_id=status["instanceId"],
        execution_id=None,
        name=status["name"],
        version=None,
        runtime_status=runtime_status,
        created_at=moment(status["createdTime"]),
        last_updated_at=updated_at,
        completed_at=updated_at if runtime_status.is_finished else None,
        custom_status=json.dumps(status.get("customStatus")),
    )
    text = state_of(status)
    return Seen(record=record, explanation=Explanation(text, (Reason("progress", text),), record))
