"""What becomes of a message in hand: a turn has taken it in, or it is given back.

Rule of this file: a message leaves the storage only after its effect is there. Of an answer that has no message of its
own the request is what is stored: it goes when a turn has recorded the answer, and where none does soon, the answer is
stored after all. Where the storage takes neither, the request comes again, and has to be new to this host then: but
not before the answer is out of its batch, or the next answer would be taken for the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from devhost.errors import StorageError
from devhost.storage.concurrency import call_each
from devhost.storage.hub_queues import HubQueues
from devhost.storage.outbox import Outbox
from devhost.storage.queues import back_off_seconds
from devhost.storage.sessions import HeldMessage
from devhost.storage.work_items import WorkItemInbox

_log = logging.getLogger("Host.TaskHub")


class Settler:
    """The ends of the messages of one hub."""

    def __init__(self, queues: HubQueues, outbox: Outbox, work_items: WorkItemInbox) -> None:
        self._queues = queues
        self._outbox = outbox
        self._work_items = work_items

    async def take_in(self, held: HeldMessage) -> None:
        """The effect of the message is stored."""
        await held.stored.queue.delete(held.stored)
        self.forget(held)

    def forget(self, held: HeldMessage) -> None:
        """The message is in no batch any more: where it comes again it is new."""
        if held.answers_at:
            self._work_items.finish(held.stored.message_id)

    async def store(self, held: HeldMessage, *, delay_seconds: int = 0) -> None:
        """Makes sure that the message itself is stored, to come again after a delay."""
        if held.answers_at:
            await self._outbox.send(held.message, delay_seconds=delay_seconds)
            await self.take_in(held)
        else:
            await self._queues.hide(held.stored, delay_seconds)

    async def abandon(self, held: HeldMessage) -> None:
        """Gives the message up for a time that grows with its deliveries."""
        await self.store(held, delay_seconds=back_off_seconds(held.stored.dequeue_count))

    async def try_to_abandon(self, held: HeldMessage) -> None:
        """`abandon`, where a failure only means that it comes back when its invisibility runs out."""
        await self._try_to_store(held, back_off_seconds(held.stored.dequeue_count))

    async def release(self, messages: Iterable[HeldMessage]) -> None:
        """Gives messages back to whoever asks next; those that fail come back when their invisibility runs out."""
        await call_each(self._release, messages)

    async def _release(self, held: HeldMessage) -> None:
        await self._try_to_store(held, 0)
        self.forget(held)

    async def drop(self, messages: Iterable[HeldMessage]) -> None:
        """Forgets messages and leaves to the storage what it still has of them; an answer without one is lost."""

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
