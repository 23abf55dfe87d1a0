"""Listens to the control queues of the partitions that this host owns, and to the work-item queue.

Mirrors DurableTask.AzureStorage's handling of owned control queues: listening to a lost queue ends at once, and its
messages that no episode works on go back.
"""

from __future__ import annotations

import asyncio

from durablehost.storage.account.options import StorageOptions
from durablehost.storage.concurrency import TaskOwner
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.inbox import ControlInbox
from durablehost.storage.messages.listening import Inbox, QueueListener
from durablehost.storage.messages.queues import MessageQueue
from durablehost.storage.messages.settling import Settler
from durablehost.storage.messages.visibility import Extender
from durablehost.storage.messages.work_items import WorkItemInbox
from durablehost.storage.rows.history_cache import HistoryCache

# Limits the control messages that are ordered together when a partition is claimed: eight times the batch size.
FIRST_POLLS = 8


class Receiver:
    """Runs the listeners; the `PartitionListener` of the lease loop.

    Clears the cache of histories when a partition is gained or lost: others may have written its histories meanwhile.
    """

    def __init__(
        self,
        *,
        options: StorageOptions,
        queues: HubQueues,
        control: ControlInbox,
        work_items: WorkItemInbox,
        settler: Settler,
        tasks: TaskOwner,
        cache: HistoryCache,
    ) -> None:
        self._options = options
        self._queues = queues
        self._control = control
        self._work_items = work_items
        self._settler = settler
        self._tasks = tasks
        # Without a journal, a killed host leaves its messages invisible for the configured timeout anyway.
        self._extender = Extender(tasks.spawn) if queues.has_journal else None
        self._cache = cache
        self._running: dict[str, tuple[QueueListener, asyncio.Task[None]]] = {}

    def listen(self, partition: str) -> None:
        if partition in self._running:
            return
        self._cache.clear()
        self._run(
            self._queues.queue(partition),
            self._control,
            self._options.control_queue_visibility_seconds,
            first_polls=FIRST_POLLS,
        )

    async def cease(self, partition: str) -> None:
        await self._end(partition)
        self._cache.clear()
        await self._settler.release(self._control.remove_waiting(partition))

    async def drop_all(self) -> None:
        """Stops listening to all queues, and drops the messages that no episode or activity works on."""
        for name in tuple(self._running):
            await self._end(name)
            await self._settler.drop(self._control.remove_waiting(name))
        await self._settler.drop(self._work_items.remove_waiting())
        self._cache.clear()

    async def cease_all(self) -> None:
        """Stops listening to all partitions."""
        for partition in [name for name in self._running if name != self._queues.work_items.name]:
            await self.cease(partition)

    def notice_room(self) -> None:
        """Wakes the listeners that wait for room, after control messages have been finished."""
        if self._control.has_room:
            for listener, _ in self._running.values():
                listener.notice_room()

    def is_listening_to(self, partition: str) -> bool:
        return partition in self._running

    def is_idle(self, partition: str) -> bool:
        return self._control.is_idle(partition)

    def listen_to_work_items(self) -> None:
        self._run(self._queues.work_items, self._work_items, self._options.work_item_visibility_seconds)

    async def cease_work_items(self) -> None:
        await self._end(self._queues.work_items.name)
        await self._settler.release(self._work_items.remove_waiting())

    def stop(self) -> None:
        if self._extender is not None:
            self._extender.stop()

    def _run(self, queue: MessageQueue, inbox: Inbox, visibility_seconds: int, *, first_polls: int = 1) -> None:
        listener = QueueListener(
            queue,
            inbox,
            visibility_seconds=visibility_seconds,
            longest_wait_seconds=self._options.max_polling_interval_seconds,
            first_polls=first_polls,
            extender=self._extender,
        )
        self._queues.connect(listener)
        self._running[queue.name] = (listener, self._tasks.spawn_loop(listener.run, f"listen to {queue.name}"))

    async def _end(self, queue_name: str) -> None:
        if queue_name not in self._running:
            return
        listener, task = self._running.pop(queue_name)
        self._queues.disconnect(listener)
        listener.stop()
        await asyncio.gather(task, return_exceptions=True)
