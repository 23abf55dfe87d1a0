"""What a running hub listens to: the control queues of the partitions it holds, and the work-item queue.

Mirrors DurableTask.AzureStorage's handling of owned control queues: a queue that is no longer owned is left at once,
and what was received from it and not begun goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from devhost.storage.concurrency import TaskOwner
from devhost.storage.hub_queues import HubQueues
from devhost.storage.inbox import ControlInbox
from devhost.storage.listening import QueueListener
from devhost.storage.options import StorageOptions
from devhost.storage.sessions import Sessions
from devhost.storage.settling import Settler
from devhost.storage.visibility import Extender
from devhost.storage.work_items import WorkItemInbox


class Receiver:
    """Runs the listeners; the `PartitionListener` of the lease loop.

    `on_hand_over` is called when a partition comes or goes: what was known of its instances may be out of date.
    """

    def __init__(
        self,
        options: StorageOptions,
        queues: HubQueues,
        sessions: Sessions,
        control: ControlInbox,
        work_items: WorkItemInbox,
        settler: Settler,
        tasks: TaskOwner,
        extender: Extender | None,
        on_hand_over: Callable[[], None],
    ) -> None:
        self._options = options
        self._queues = queues
        self._sessions = sessions
        self._control = control
        self._work_items = work_items
        self._settler = settler
        self._tasks = tasks
        self._extender = extender
        self._on_hand_over = on_hand_over
        self._running: dict[str, tuple[QueueListener, asyncio.Task[None]]] = {}

    def listen(self, partition: str) -> None:
        if partition in self._running:
            return
        # Another host may have worked on its instances until now.
        self._on_hand_over()
        self._run(
            QueueListener(
                self._queues.queue(partition),
                self._control,
                visibility_seconds=self._options.control_queue_visibility_seconds,
                longest_wait_seconds=self._options.max_polling_interval_seconds,
                extender=self._extender,
            )
        )

    async def cease(self, partition: str) -> None:
        await self._end(partition)
        self._on_hand_over()
        given_back = self._sessions.remove_waiting(partition) + self._control.remove_early(partition)
        await self._settler.release(given_back)

    async def drop_all(self) -> None:
        """Ceases to listen to everything, and drops what was received and is not in anybody's hands."""
        for name in tuple(self._running):
            await self._end(name)
            await self._settler.drop(self._sessions.remove_waiting(name) + self._control.remove_early(name))
        await self._settler.drop(self._work_items.remove_waiting())
        self._on_hand_over()

    async def cease_all(self) -> None:
        """Ceases to listen to all partitions."""
        for partition in [name for name in self._running if name != self._queues.work_items.name]:
            await self.cease(partition)

    def notice_room(self) -> None:
        """Some control messages are out of the way: lets listeners go on that wait for room."""
        if self._control.has_room:
            for listener, _ in self._running.values():
                listener.notice_room()

    def is_idle(self, partition: str) -> bool:
        return self._sessions.is_idle(partition)

    def listen_to_work_items(self) -> None:
        self._run(
            QueueListener(
                self._queues.work_items,
                self._work_items,
                visibility_seconds=self._options.work_item_visibility_seconds,
                longest_wait_seconds=self._options.max_polling_interval_seconds,
                extender=self._extender,
            )
        )

    async def cease_work_items(self) -> None:
        await self._end(self._queues.work_items.name)
        await self._settler.release(self._work_items.remove_waiting())

    def _run(self, listener: QueueListener) -> None:
        name = listener.queue.name
        self._queues.connect(listener)
        self._running[name] = (listener, self._tasks.keep(listener.run, f"listen to {name}"))

    async def _end(self, queue_name: str) -> None:
        if queue_name not in self._running:
            return
        listener, task = self._running.pop(queue_name)
        self._queues.disconnect(listener)
        listener.stop()
        await asyncio.gather(task, return_exceptions=True)
