"""The loop that receives from one queue: asks more and more seldom while it is empty, and at once when woken.

Mirrors the polling of DurableTask.AzureStorage (BackoffPollingHelper). Every message that this host sends wakes the
listener itself, so a local round trip never waits for a poll.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from devhost.errors import StorageError
from devhost.storage.queues import MAX_MESSAGES_PER_GET, MessageQueue, StoredMessage

FIRST_WAIT_SECONDS = 0.05
FULL_BUFFER_WAIT_SECONDS = 1.0

_log = logging.getLogger("Host.TaskHub")


def poll_wait_seconds(empty_answers: int, longest_seconds: float, jitter: float) -> float:
    """How long to wait after so many empty answers in a row; `jitter` is from 0.8 to 1.2."""
    if empty_answers <= 1:
        return min(FIRST_WAIT_SECONDS, longest_seconds)
    doubled = FIRST_WAIT_SECONDS * (1 << min(empty_answers - 2, 20))
    return min(FIRST_WAIT_SECONDS + doubled * jitter, longest_seconds)


class QueueListener:
    """Receives from a queue until stopped.

    `wanted` says how many messages may be received now; while it is 0 nothing is asked for. `receive` takes over
    what has come.
    """

    def __init__(
        self,
        queue: MessageQueue,
        receive: Callable[[list[StoredMessage]], Awaitable[None]],
        wanted: Callable[[], int],
        *,
        visibility_seconds: int,
        longest_wait_seconds: float,
    ) -> None:
        self.queue = queue
        self._receive = receive
        self._wanted = wanted
        self._visibility_seconds = visibility_seconds
        self._longest_wait_seconds = longest_wait_seconds
        self._woken = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._is_stopping = False

    def notify(self, delay_seconds: float = 0) -> None:
        """There is, or will be after the delay, a message worth asking for."""
        if not delay_seconds:
            self._woken.set()
        elif not self._is_stopping:
            self._notify_later(delay_seconds)

    def _notify_later(self, delay_seconds: float) -> None:
        def wake() -> None:
            self._timers.discard(timer)
            self._woken.set()

        timer = asyncio.get_running_loop().call_later(delay_seconds, wake)
        self._timers.add(timer)

    def stop(self) -> None:
        """Lets `run` end after the request that is under way: cancelling it would lose what it brings."""
        self._is_stopping = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._woken.set()

    async def run(self) -> None:
        empty_answers = 0
        while not self._is_stopping:
            # Cleared before asking: what is sent during the request wakes the wait that follows it.
            self._woken.clear()
            count = min(self._wanted(), MAX_MESSAGES_PER_GET)
            if count <= 0:
                await self._wait(FULL_BUFFER_WAIT_SECONDS)
                continue
            if await self._get(count):
                empty_answers = 0
                continue
            empty_answers += 1
            wait = poll_wait_seconds(empty_answers, self._longest_wait_seconds, random.uniform(0.8, 1.2))
            if await self._wait(wait):
                empty_answers = 0

    async def _get(self, count: int) -> bool:
        try:
            messages = await self.queue.get(count, visibility_seconds=self._visibility_seconds)
        except StorageError as error:
            _log.warning("The queue '%s' cannot be read: %s", self.queue.name, error)
            return False
        if messages:
            await self._receive(messages)
        return bool(messages)

    async def _wait(self, seconds: float) -> bool:
        """Whether somebody has called before the time was over."""
        if self._is_stopping:
            return True
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True
