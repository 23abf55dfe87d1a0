"""Settles received messages: deletes them after an episode has recorded their effect, or gives them back.

Rule of this file: a message leaves the storage only after its effect is stored. A quick result is not queued: its
request stays stored until an episode records the result. If none does soon, the result is queued after all. If storage
refuses both, the request is redelivered and must count as new, but only after the result has left its batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from durablehost.errors import StorageError
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.outbox import Outbox
from durablehost.storage.messages.queues import redelivery_seconds
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.messages.work_items import WorkItemInbox

_log = logging.getLogger("Host.TaskHub")


class Settler:
    """Settles the messages of one hub."""

    def __init__(self, queues: HubQueues, outbox: Outbox, work_items: WorkItemInbox) -> None:
        self._queues = queues
        self._outbox = outbox
        self._work_items = work_items

    async def complete(self, held: HeldMessage) -> None:
        """Deletes a message whose effect is stored."""
        await held.stored.queue.delete(held.stored)
        self.forget(held)

    def forget(self, held: HeldMessage) -> None:
        """Forgets a message that has left its batch: if it is redelivered, it counts as new."""
        if held.is_quick_result:
            self._work_items.finish(held.stored.message_id)

    async def store(self, held: HeldMessage, *, delay_seconds: int = 0) -> None:
        """Has the message redelivered after a delay; a quick result is queued for that."""
        if held.is_quick_result:
            await self._outbox.send(held.message, delay_seconds=delay_seconds)
            await self.complete(held)
        else:
            await self._queues.hide(held.stored, delay_seconds)

    async def abandon(self, held: HeldMessage) -> None:
        """Has the message redelivered after a delay that grows with its deliveries."""
        await self.store(held, delay_seconds=redelivery_seconds(held.stored.dequeue_count))

    async def try_to_abandon(self, held: HeldMessage) -> None:
        """Abandons the message; if that fails, it comes back after its visibility timeout."""
        await self._try_to_store(held, redelivery_seconds(held.stored.dequeue_count))

    async def release(self, messages: Iterable[HeldMessage]) -> None:
        """Makes messages visible again; those for which that fails come back after their visibility timeout."""
        await call_each(self._release, messages)

    async def _release(self, held: HeldMessage) -> None:
        await self._try_to_store(held, 0)
        self.forget(held)

    async def drop(self, messages: Iterable[HeldMessage]) -> None:
        """Forgets messages, and makes those visible that are still stored; quick results are lost."""

        async def drop(held: HeldMessage) -> None:
            await self._queues.release([held.stored])
            self.forget(held)

        await call_each(drop, messages)

    async def _try_to_store(self, held: HeldMessage, delay_seconds: int) -> None:
        try:
            await self.store(held, delay_seconds=delay_seconds)
        except StorageError as error:
            stored = held.stored
            _log.warning("Message %s of queue '%s' stays invisible: %s", stored.message_id, stored.queue.name, error)
