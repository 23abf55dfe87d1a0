"""All that one turn of an orchestration makes durable at once, as a value; the storage decides how, not what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from devhost.core.history import ExecutionStarted, HistoryEvent
from devhost.core.messages import TaskMessage
from devhost.core.status import RuntimeStatus


@dataclass(frozen=True, kw_only=True)
class InstanceUpdate:
    """What a checkpoint changes in the record of its instance; None leaves a column as it is.

    `started` is set when the execution began with these events: name, version, input, creation time and generation come
    from it. `output` is JSON text, or raw text for reasons and failures. `custom_status` is JSON text, and `null`
    where the orchestrator has set none.
    """

    execution_id: str
    last_updated_at: datetime
    custom_status: str | None = None
    started: ExecutionStarted | None = None
    runtime_status: RuntimeStatus | None = None
    output: str | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """New history events, the outbox of messages they send, and the change of the instance's record.

    Without `new_events` no history is written; without `update` the record stays as it is.
    """

    new_events: tuple[HistoryEvent, ...] = ()
    outbox: tuple[TaskMessage, ...] = ()
    update: InstanceUpdate | None = None

    def then(self, later: Checkpoint) -> Checkpoint:
        """Both as one."""
        return Checkpoint(
            new_events=self.new_events + later.new_events,
            outbox=self.outbox + later.outbox,
            update=self._update_then(later.update),
        )

    def _update_then(self, later: InstanceUpdate | None) -> InstanceUpdate | None:
        """The later update; a custom status that it leaves as it is remains the earlier one's."""
        if later is None or self.update is None or later.custom_status is not None:
            return later or self.update
        return replace(later, custom_status=self.update.custom_status)
