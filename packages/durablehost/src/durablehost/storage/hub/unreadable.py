"""Settles the messages of instances whose histories cannot be read.

They are abandoned, for longer each time, because the history may be repaired, or be readable for another host. But the
instance can be terminated without its history, and then purged; messages for an ended instance are deleted.
"""

from __future__ import annotations

import logging

from durablehost.clock import Clock
from durablehost.core.checkpoint import InstanceUpdate
from durablehost.core.episode import Episode, terminated
from durablehost.core.history import ExecutionTerminated
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import StorageError
from durablehost.resilience import Counts
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.outbox import Outbox
from durablehost.storage.messages.sessions import Batch
from durablehost.storage.messages.settling import Settler
from durablehost.storage.rows.history_table import HistoryTable
from durablehost.storage.rows.instance_table import InstanceTable

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
        """Abandons the messages of a batch, or deletes them if the instance has ended."""
        try:
            if await self._is_over(batch):
                await call_each(self._settler.complete, batch.messages)
                self._rounds.forget(batch.instance_id)
                return
        except StorageError as failure:
            _log.warning("Instance '%s' with its damaged history waits: %s", batch.instance_id, failure)
        else:
            self._report(batch.instance_id, error)
        await call_each(self._settler.try_to_abandon, batch.messages)

    async def _is_over(self, batch: Batch) -> bool:
        """Whether the instance has ended. If a termination is among the messages, ends it."""
        found = await self._instances.find(batch.instance_id)
        if found is None or _begins_another(batch, found.record):
            return False
        if found.record.runtime_status.is_finished:
            return True
        events = [held.message.event for held in batch.messages]
        termination = next((event for event in events if isinstance(event, ExecutionTerminated)), None)
        if termination is None:
            return False
        await self._end(batch.instance_id, found.record.execution_id, termination)
        _log.warning("Instance '%s' is terminated without its history, which cannot be read", batch.instance_id)
        return True

    async def _end(self, instance_id: str, execution_id: str | None, termination: ExecutionTerminated) -> None:
        """Sends the failure to a parent, if the start of the instance can still be read, then writes the row."""
        now = self._clock.now()
        started = await self._histories.find_start(instance_id, execution_id)
        if started is not None:
            episode = Episode(started=started, history=(), arrived=(termination,), now=now)
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
                "purge its history: durablehost durable terminate --id %s, durablehost durable purge-history --id %s",
                instance_id,
                instance_id,
                instance_id,
            )


def _begins_another(batch: Batch, record: InstanceRecord) -> bool:
    return batch.start is not None and batch.start.orchestration_instance.execution_id != record.execution_id
