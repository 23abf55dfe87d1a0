"""What becomes of messages for an instance whose history cannot be read.

They wait, longer and longer, as somebody may mend the history or read it with another host. But the instance can be
terminated, which needs no history, and then purged; what comes for an ended instance is dropped.
"""

from __future__ import annotations

import logging

from devhost.clock import Clock
from devhost.core.checkpoint import InstanceUpdate
from devhost.core.episode import Episode, terminated
from devhost.core.history import ExecutionTerminated
from devhost.core.status import RuntimeStatus
from devhost.engine.ports import InstanceRecord
from devhost.errors import StorageError
from devhost.resilience import Counts
from devhost.storage.concurrency import call_each
from devhost.storage.history_table import HistoryTable
from devhost.storage.instance_table import InstanceTable
from devhost.storage.outbox import Outbox
from devhost.storage.sessions import Batch
from devhost.storage.settling import Settler

ROUNDS_BEFORE_ADVICE = 3

_log = logging.getLogger("Host.TaskHub")


class UnreadableHistories:
    """The instances of one hub whose histories could not be read."""

    def __init__(
        self, histories: HistoryTable, instances: InstanceTable, outbox: Outbox, settler: Settler, clock: Clock
    ) -> None:
        self._histories = histories
        self._instances = instances
        self._outbox = outbox
        self._settler = settler
        self._clock = clock
        self._rounds = Counts()

    async def settle(self, batch: Batch, error: Exception) -> None:
        """Gets the messages of a batch out of the way, whatever fails."""
        try:
            if await self._is_over(batch):
                await call_each(self._settler.take_in, batch.messages)
                self._rounds.forget(batch.instance_id)
                return
        except StorageError as failure:
            _log.warning("Instance '%s' with its damaged history waits: %s", batch.instance_id, failure)
        else:
            self._report(batch.instance_id, error)
        await call_each(self._settler.try_to_abandon, batch.messages)

    async def _is_over(self, batch: Batch) -> bool:
        """Whether the instance has ended; a termination among the messages ends it."""
        found = await self._instances.find(batch.instance_id)
        if found is None or _begins_another(batch, found.record):
            return False
        if found.record.runtime_status.is_terminal:
            return True
        events = [held.message.event for held in batch.messages]
        termination = next((event for event in events if isinstance(event, ExecutionTerminated)), None)
        if termination is None:
            return False
        await self._end(batch.instance_id, found.record.execution_id, termination)
        _log.warning("Instance '%s' is terminated without its history, which cannot be read", batch.instance_id)
        return True

    async def _end(self, instance_id: str, execution_id: str | None, termination: ExecutionTerminated) -> None:
        """Tells a parent, if the start of the instance can still be read, then writes the record."""
        now = self._clock.now()
        started = await self._histories.find_start(instance_id, execution_id)
        if started is not None:
            episode = Episode(started=started, history=(), arrived=(termination,), now=now, max_actions=0)
            await self._outbox.send_all(episode.end(terminated(termination)).checkpoint.outbox)
        update = InstanceUpdate(
            execution_id=execution_id or "",
            last_updated_at=now,
            runtime_status=RuntimeStatus.TERMINATED,
            output=termination.input,
            completed_at=now,
        )
        await self._instances.merge(instance_id, update, {})

    def _report(self, instance_id: str, error: Exception) -> None:
        rounds = self._rounds.add(instance_id)
        if rounds == 1:
            _log.error("Instance '%s' waits: %s", instance_id, error)
        elif rounds == ROUNDS_BEFORE_ADVICE:
            _log.error(
                "Instance '%s' still waits, as its history cannot be read. To get rid of it, terminate it and then "
                "purge its history: devhost durable terminate --id %s, devhost durable purge-history --id %s",
                instance_id,
                instance_id,
                instance_id,
            )


def _begins_another(batch: Batch, record: InstanceRecord) -> bool:
    return batch.start is not None and batch.start.orchestration_instance.execution_id != record.execution_id
