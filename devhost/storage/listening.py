"""The loop that receives from one queue: asks more and more seldom while it is empty, and at once when woken.

Mirrors the polling of DurableTask.AzureStorage (BackoffPollingHelper). A message that this host sends to itself need
not be asked for: it is stored out of everybody's sight and handed over at once, as if it had been received. Where it is
to wait behind others it is left in the queue, and wakes the listener.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

from devhost.core.messages import TaskMessage, answered_task_id
from devhost.errors import StorageError
from devhost.resilience import is_worth_a_line
from devhost.storage.queues import MAX_MESSAGES_PER_GET, MessageQueue, StoredMessage
from devhost.storage.sessions import HeldMessage
from devhost.storage.visibility import Extender

FIRST_WAIT_SECONDS = 0.05
FULL_BUFFER_WAIT_SECONDS = 1.0

_log = logging.getLogger("Host.TaskHub")


def poll_wait_seconds(empty_answers: int, longest_seconds: float, jitter: float) -> float:
    """How long to wait after so many empty answers in a row; `jitter` is from 0.8 to 1.2."""
    if empty_answers <= 1:
        return min(FIRST_WAIT_SECONDS, longest_seconds)
    doubled = FIRST_WAIT_SECONDS * (1 << min(empty_answers - 2, 20))
    return min(FIRST_WAIT_SECONDS + doubled * jitter, longest_seconds)


class Inbox(Protocol):
    """What takes over the messages of a queue."""

    @property
    def wanted(self) -> int:
        """How many messages may be received now; while it is 0 nothing is asked for."""

    @property
    def has_room(self) -> bool:
        """Whether a message that this host sends to itself may come at once."""

    async def receive(self, messages: list[StoredMessage]) -> None:
        """Takes over what the queue has handed out."""

    def take_over(self, held: HeldMessage) -> None:
        """Takes over what this host has just stored."""


class QueueListener:
    """Receives from a queue until stopped."""

    def __init__(
        self,
        queue: MessageQueue,
        inbox: Inbox,
        *,
        visibility_seconds: int,
        longest_wait_seconds: float,
        extender: Extender | None = None,
    ) -> None:
        self.queue = queue
        self.visibility_seconds = visibility_seconds
        self._inbox = inbox
        self._longest_wait_seconds = longest_wait_seconds
        self._extender = extender
        self._woken = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        # The last answer had all that was visible when it was asked for.
        self._has_drained = False
        # And nothing is known to have been sent since.
        self._is_caught_up = False
        self._is_stopping = False
        self._failures = 0

    def takes_over(self, message: TaskMessage) -> bool:
        """Whether a message that is sent now may be handed over instead of waiting in the queue.

        Handed over, it overtakes what waits there. Answers may: an instance takes them in any order. Requests may not
        for long, or those that wait would starve; and events of a client are to come in the order of their sending.
        """
        if self._is_stopping or not self._inbox.has_room:
            return False
        if message.is_activity_request:
            return self._has_drained
        return self._is_caught_up or answered_task_id(message.event) is not None

    def hand_over(self, held: HeldMessage) -> bool:
        """Hands over a message that was stored out of sight; False where the listener has been stopped meanwhile."""
        if not self._is_stopping:
            self._inbox.take_over(held)
        return not self._is_stopping

    def notice_room(self) -> None:
        """More is wanted: asks, if something is known to wait in the queue."""
        if not self._has_drained:
            self._woken.set()

    def notify(self, delay_seconds: float = 0) -> None:
        """There is, or will be after the delay, a message worth asking for."""
        if not delay_seconds:
            self._notify()
        elif not self._is_stopping:
            self._notify_later(delay_seconds)

    def _notify(self) -> None:
        self._has_drained = self._is_caught_up = False
        self._woken.set()

    def _notify_later(self, delay_seconds: float) -> None:
        def wake() -> None:
            self._timers.discard(timer)
            self._notify()

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
            count = min(self._inbox.wanted, MAX_MESSAGES_PER_GET)
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
            messages = await self._receive(count)
        except StorageError as error:
            self._failures += 1
            if is_worth_a_line(self._failures):
                _log.warning("The queue '%s' cannot be read: %s", self.queue.name, error)
            return False
        self._failures = 0
        self._has_drained = len(messages) < count
        self._is_caught_up = self._has_drained and not self._woken.is_set()
        if messages:
            await self._inbox.receive(messages)
        return bool(messages)

    async def _receive(self, count: int) -> list[StoredMessage]:
        if self._extender is None:
            return await self.queue.get(count, visibility_seconds=self.visibility_seconds)
        return await self._extender.receive(self.queue, count, visibility_seconds=self.visibility_seconds)

    async def _wait(self, seconds: float) -> bool:
        """Whether somebody has called before the time was over."""
        if self._is_stopping:
            return True
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True
