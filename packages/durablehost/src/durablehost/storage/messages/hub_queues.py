"""The queues of one hub by name, the queue for each message, and the listeners of this process."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from durablehost.core.ids import partition_of
from durablehost.core.messages import TaskMessage
from durablehost.errors import StorageError
from durablehost.storage.account.names import HubNames
from durablehost.storage.account.service_client import ServiceClient
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.journal import Journal
from durablehost.storage.messages.listening import QueueListener
from durablehost.storage.messages.queues import MessageQueue, StoredMessage, redelivery_seconds

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
    def has_journal(self) -> bool:
        """Whether the next host can make the messages of this one visible at once after a kill."""
        return self._journal.has_file

    @property
    def control_queue_names(self) -> list[str]:
        """The control queues that this host sends to; other hosts may have left more."""
        return [self._names.control_queue(partition) for partition in range(self._partition_count)]

    def queue(self, name: str) -> MessageQueue:
        if name not in self._queues:
            self._queues[name] = MessageQueue(self._service, name, self._journal)
        return self._queues[name]

    def queue_for(self, message: TaskMessage) -> MessageQueue:
        if message.is_activity_request:
            return self.work_items
        return self.control_queue_of(message.target.instance_id)

    def control_queue_of(self, instance_id: str) -> MessageQueue:
        partition = partition_of(instance_id, self._partition_count)
        return self.queue(self._names.control_queue(partition))

    def connect(self, listener: QueueListener) -> None:
        """Has the listener woken by messages that are sent to its queue."""
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
        """The local listener of the queue that a message goes to, if any."""
        return self._listeners.get(self.queue_for(message).name)

    def listener_that_takes_over(self, message: TaskMessage) -> QueueListener | None:
        """The local listener that can take this outgoing message; None: use the queue."""
        listener = self.listener_of(message)
        return listener if listener and listener.takes_over(message) else None

    def notice_room(self, queue: MessageQueue) -> None:
        if listener := self._listeners.get(queue.name):
            listener.notice_room()

    async def hide(self, stored: StoredMessage, seconds: int) -> None:
        """Makes a message visible again after so many seconds, and wakes the queue's listener then."""
        await stored.queue.hide(stored, seconds)
        self.notify(stored.queue, seconds)

    async def abandon(self, stored: StoredMessage) -> None:
        """Hides a message for a time that grows with its deliveries."""
        await self.hide(stored, redelivery_seconds(stored.dequeue_count))

    async def try_to_abandon(self, stored: StoredMessage) -> None:
        """Abandons a message; if that fails, it comes back after its visibility timeout."""
        await self._try_to_hide(stored, redelivery_seconds(stored.dequeue_count))

    async def postpone(self, stored: StoredMessage, error: StorageError) -> None:
        """Abandons a message that cannot be worked on because the storage failed."""
        _log.warning("Message %s of queue '%s' waits: %s", stored.message_id, stored.queue.name, error)
        await self.try_to_abandon(stored)

    async def release(self, messages: Iterable[StoredMessage]) -> None:
        """Makes messages visible again; those for which that fails come back after their visibility timeout."""
        await call_each(lambda stored: self._try_to_hide(stored, 0), messages)

    async def _try_to_hide(self, stored: StoredMessage, seconds: int) -> None:
        try:
            await self.hide(stored, seconds)
        except StorageError as error:
            _log.warning("Message %s of queue '%s' stays invisible: %s", stored.message_id, stored.queue.name, error)
