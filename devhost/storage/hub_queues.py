"""The queues of one hub by name, which of them a message goes to, and who in this process waits for it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from devhost.core.ids import partition_of
from devhost.core.messages import TaskMessage
from devhost.errors import StorageError
from devhost.storage.concurrency import call_each
from devhost.storage.journal import Journal
from devhost.storage.listening import QueueListener
from devhost.storage.names import HubNames
from devhost.storage.queues import MessageQueue, StoredMessage, back_off_seconds
from devhost.storage.service_client import ServiceClient

_log = logging.getLogger("Host.TaskHub")


class HubQueues:
    """One queue for activity requests, one control queue per partition."""

    def __init__(self, service: ServiceClient, names: HubNames, partition_count: int, journal: Journal) -> None:
        self._service = service
        self._journal = journal
        self._names = names
        self._partition_count = partition_count
        self._queues: dict[str, MessageQueue] = {}
        self._listeners: dict[str, QueueListener] = {}
        self.work_items = self.queue(names.work_item_queue)

    @property
    def control_queue_names(self) -> list[str]:
        """Those that messages of this host go to; other hosts may have left more."""
        return [self._names.control_queue(partition) for partition in range(self._partition_count)]

    def queue(self, name: str) -> MessageQueue:
        if name not in self._queues:
            self._queues[name] = MessageQueue(self._service, name, self._journal)
        return self._queues[name]

    def queue_for(self, message: TaskMessage) -> MessageQueue:
        if message.is_activity_request:
            return self.work_items
        partition = partition_of(message.target.instance_id, self._partition_count)
        return self.queue(self._names.control_queue(partition))

    def connect(self, listener: QueueListener) -> None:
        """From now on this listener is woken by what is sent to its queue."""
        self._listeners[listener.queue.name] = listener

    def disconnect(self, listener: QueueListener) -> None:
        self._listeners.pop(listener.queue.name, None)

    def notify(self, queue: MessageQueue, delay_seconds: float = 0) -> None:
        if listener := self._listeners.get(queue.name):
            listener.notify(delay_seconds)

    def notify_all(self) -> None:
        """Wakes all listeners of this process."""
        for listener in self._listeners.values():
            listener.notify()

    def listener_of(self, message: TaskMessage) -> QueueListener | None:
        """The listener of the queue that a message goes to; None where another host has it, or nobody."""
        return self._listeners.get(self.queue_for(message).name)

    def listener_that_takes_over(self, message: TaskMessage) -> QueueListener | None:
        """The listener to hand a message over to that is about to be sent; None where it has to go by its queue."""
        listener = self.listener_of(message)
        return listener if listener and listener.takes_over(message) else None

    def notice_room(self, queue: MessageQueue) -> None:
        if listener := self._listeners.get(queue.name):
            listener.notice_room()

    async def hide(self, stored: StoredMessage, seconds: int) -> None:
        """Makes a message come again after so many seconds, to this host if it is still the one that listens."""
        await stored.queue.hide(stored, seconds)
        self.notify(stored.queue, seconds)

    async def abandon(self, stored: StoredMessage) -> None:
        """Gives a message up for a time that grows with its deliveries."""
        await self.hide(stored, back_off_seconds(stored.dequeue_count))

    async def try_to_abandon(self, stored: StoredMessage) -> None:
        """`abandon`, where a failure only means that the message comes back when its invisibility runs out."""
        await self._try_to_hide(stored, back_off_seconds(stored.dequeue_count))

    async def release(self, messages: Iterable[StoredMessage]) -> None:
        """Gives messages back to whoever asks next; those that fail come back when their invisibility runs out."""
        await call_each(lambda stored: self._try_to_hide(stored, 0), messages)

    async def _try_to_hide(self, stored: StoredMessage, seconds: int) -> None:
        try:
            await self.hide(stored, seconds)
        except StorageError as error:
            _log.warning("Message %s of queue '%s' stays invisible: %s", stored.message_id, stored.queue.name, error)
