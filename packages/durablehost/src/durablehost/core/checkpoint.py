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


@dataclass(frozen=True)
class Stage:
    """A point in the order of storing and sending: `events` are stored after the first `sent` messages of the outbox.

    All other messages follow. `events` are all that is stored by then, from the first event of the checkpoint on.
    """

    events: tuple[HistoryEvent, ...]
    sent: int = 0

    @property
    def execution_id(self) -> str | None:
        """The execution that begins with these events; None if its start is stored already."""
        started = next((event for event in self.events if isinstance(event, ExecutionStarted)), None)
        return started.orchestration_instance.execution_id if started else None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """New history events, the outbox of messages they send, and the changes of the instance's record.

    Without `new_events` no history is written; without `update` the record stays unchanged. `opening` is the stage
    before the last run of the function in the execution that is stored: all that has arrived for it; None before the
    first run. `stages` are those to keep to. `is_replaced`: `new_events` are those of an execution that continues it.
    """

    new_events: tuple[HistoryEvent, ...] = ()
    outbox: tuple[TaskMessage, ...] = ()
    update: InstanceUpdate | None = None
    opening: Stage | None = None
    stages: tuple[Stage, ...] = ()
    is_replaced: bool = False

    @staticmethod
    def of_episode(
        new_events: tuple[HistoryEvent, ...],
        outbox: tuple[TaskMessage, ...],
        update: InstanceUpdate,
        opening: tuple[HistoryEvent, ...],
    ) -> Checkpoint:
        """The checkpoint of one episode.

        Requests to entities are identified by the time of their episode, children by their task ids. With that time
        and all that has arrived in the history, an episode that is repeated after a crash sends the same requests and
        starts. Entities and children drop them as duplicates.
        """
        stage = Stage(opening)
        must_be_repeatable = any(map(_is_repeated_alike, outbox))
        stages = (stage,) if must_be_repeatable else ()
        return Checkpoint(new_events=new_events, outbox=outbox, update=update, opening=stage, stages=stages)

    def then(self, later: Checkpoint) -> Checkpoint:
        """Combines this checkpoint with a later one."""
        opening, stages = later.opening, later.stages
        if self.is_replaced:
            # What the next execution does follows from the last run of the one that is stored.
            opening = self.opening
            stages = (opening,) if later.stages and opening and opening not in self.stages else ()
        else:
            opening = opening and self._before(opening)
            stages = tuple(map(self._before, stages))
        return Checkpoint(
            new_events=self.new_events + later.new_events,
            outbox=self.outbox + later.outbox,
            update=self._update_then(later.update),
            opening=opening or self.opening,
            stages=self.stages + stages,
            is_replaced=self.is_replaced,
        )

    def replaced(self) -> Checkpoint:
        """This checkpoint without its events and its update: the execution continues as another one."""
        return replace(self, new_events=(), update=None, is_replaced=True)

    def _before(self, stage: Stage) -> Stage:
        return Stage(self.new_events + stage.events, len(self.outbox) + stage.sent)

    def _update_then(self, later: InstanceUpdate | None) -> InstanceUpdate | None:
        """The later update, with the earlier custom status if it has none itself."""
        if later is None or self.update is None or later.custom_status is not None:
            return later or self.update
        return replace(later, custom_status=self.update.custom_status)


def _is_repeated_alike(message: TaskMessage) -> bool:
    event = message.event
    return isinstance(event, ExecutionStarted) or (isinstance(event, EventRaised) and is_request(event.name))
