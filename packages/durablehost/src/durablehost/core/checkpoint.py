"""Everything that one episode makes durable at once, as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from durablehost.core.entity_messages import is_request
from durablehost.core.history import EventRaised, ExecutionStarted, HistoryEvent
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus


@dataclass(frozen=True, kw_only=True)
class InstanceUpdate:
    """The changes that a checkpoint makes to the record of its instance; None leaves a column unchanged.

    `started` is set if the execution began with these events: name, version, input, creation time and generation come
    from it. `output` is JSON text, or raw text for reasons and failures. `custom_status` is JSON text, `null` if the
    orchestrator has set none.
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
    """New history events, the outbox of messages they send, and the changes of the instance's record.

    Without `new_events` no history is written; without `update` the record stays unchanged. `opening` are the first
    of the work item's events, up to the run of the function; None before its first episode, and empty if a crash has
    left them in the history.
    """

    new_events: tuple[HistoryEvent, ...] = ()
    outbox: tuple[TaskMessage, ...] = ()
    update: InstanceUpdate | None = None
    opening: tuple[HistoryEvent, ...] | None = None

    @property
    def written_ahead(self) -> tuple[HistoryEvent, ...]:
        """The events to store before anything is sent.

        Requests to entities are identified by the time of their episode, children by their task ids. With that time
        and all that has arrived in the history, an episode that is repeated after a crash sends the same requests and
        starts. Entities and children drop them as duplicates.
        """
        return self.opening or () if any(_must_be_repeatable(message.event) for message in self.outbox) else ()

    def then(self, later: Checkpoint) -> Checkpoint:
        """Combines this checkpoint with a later one."""
        return Checkpoint(
            new_events=self.new_events + later.new_events,
            outbox=self.outbox + later.outbox,
            update=self._update_then(later.update),
            opening=later.opening if self.opening is None else self.opening,
        )

    def _update_then(self, later: InstanceUpdate | None) -> InstanceUpdate | None:
        """The later update, with the earlier custom status if it has none itself."""
        if later is None or self.update is None or later.custom_status is not None:
            return later or self.update
        return replace(later, custom_status=self.update.custom_status)


def _must_be_repeatable(event: HistoryEvent) -> bool:
    return isinstance(event, ExecutionStarted) or (isinstance(event, EventRaised) and is_request(event.name))
