"""The loop that polls one queue: less and less often while it is empty, and at once when woken.

Mirrors the polling of DurableTask.AzureStorage (BackoffPollingHelper). A message that this host sends to itself needs
no poll: it is stored invisibly and handed over at once, as if it had been received. If it must wait behind others, it
goes through the queue and wakes the listener.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

from durablehost.core.messages import TaskMessage, completed_task_id
from durablehost.errors import StorageError
from durablehost.resilience import is_worth_a_line
from durablehost.storage.messages.queues import MAX_MESSAGES_PER_GET, MessageQueue, StoredMessage
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.messages.visibility import Extender

FIRST_WAIT_SECONDS = 0.05
FULL_BUFFER_WAIT_SECONDS = 1.0

_log = logging.getLogger("Host.TaskHub")


def poll_wait_seconds(empty_polls: int, longest_seconds: float, jitter: float) -> float:
    """How long to wait after so many empty polls in a row; `jitter` is from 0.8 to 1.2."""
    if empty_polls <= 1:
        return min(FIRST_WAIT_SECONDS, longest_seconds)
    doubled = FIRST_WAIT_SECONDS * (1 << min(empty_polls - 2, 20))
    return min(FIRST_WAIT_SECONDS + doubled * jitter, longest_seconds)


class Inbox(Protocol):
    """Receives the messages of a queue from its listener."""

    @property
    def wanted(self) -> int:
        """How many messages may be received now; while it is 0, the queue is not polled."""

    @property
    def has_room(self) -> bool:
        """Whether a message that this host sends to itself may be handed over."""

    async def receive(self, messages: list[StoredMessage]) -> None:
        """Receives messages from the queue."""

    def take_over(self, held: HeldMessage) -> None:
        """Receives a message that this host has just stored."""


class QueueListener:
    """Receives from a queue until stopped.

    `first_polls`: how many full answers to receive together at first, so that the inbox can order them. After a kill
    the queue returns newer messages before those that the dead host had received.
    """

    def __init__(
        self,
        queue: MessageQueue,
        inbox: Inbox,
        *,
        visibility_seconds: int,
        longest_wait_seconds: float,
        first_polls: int = 1,
        extender: Extender | None = None,
    ) -> None:
        self.queue = queue
        self.visibility_seconds = visibility_seconds
        self._inbox = inbox
        self._longest_wait_seconds = longest_wait_seconds
        self._extender = extender
        self._polls_together = first_polls
        self._woken = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        # The last poll received all visible messages.
        self._has_drained = False
        # Also, no message is known to have been sent since.
        self._is_caught_up = False
        self._is_stopping = False
        self._failures = 0

    def takes_over(self, message: TaskMessage) -> bool:
        """Whether an outgoing message may be handed over instead of waiting in the queue.

        Handing over jumps the queue. That is fine for results: an instance takes them in any order. Requests would
        starve older ones, and client events must keep their order.
        """
        if self._is_stopping or not self._inbox.has_room:
            return False
        if message.is_activity_request:
            return self._has_drained
        return self._is_caught_up or completed_task_id(message.event) is not None

    def hand_over(self, held: HeldMessage) -> bool:
        """Hands over a message that was stored invisibly; False if the listener has been stopped meanwhile."""
        if not self._is_stopping:
            self._inbox.take_over(held)
        return not self._is_stopping

    def notice_room(self) -> None:
        """Notes that the inbox has room again: polls, unless the queue is known to be empty."""
        if not self._has_drained:
            self._woken.set()

    def notify(self, delay_seconds: float = 0) -> None:
        """Polls, now or after the delay, because a message is visible then."""
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
        """Ends `run` after the current poll: cancelling that would lose the messages it receives."""
        self._is_stopping = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._woken.set()

    async def run(self) -> None:
        empty_polls = 0
        while not self._is_stopping:
            # Cleared before the poll: a message that is sent during it ends the wait that follows.
            self._woken.clear()
            count = min(self._inbox.wanted, MAX_MESSAGES_PER_GET)
            if count <= 0:
                await self._wait(FULL_BUFFER_WAIT_SECONDS)
                continue
            if await self._poll(count):
                empty_polls = 0
                continue
            empty_polls += 1
            wait = poll_wait_seconds(empty_polls, self._longest_wait_seconds, random.uniform(0.8, 1.2))
            if await self._wait(wait):
                empty_polls = 0

    async def _poll(self, count: int) -> bool:
        """Passes received messages to the inbox; False if there were none."""
        messages: list[StoredMessage] = []
        try:
            for _ in range(self._polls_together):
                received = await self._receive(count)
                messages += received
                self._has_drained = len(received) < count
                if self._has_drained:
                    break
            self._failures, self._polls_together = 0, 1
        except StorageError as error:
            self._failures += 1
            if is_worth_a_line(self._failures):
                _log.warning("The queue '%s' cannot be read: %s", self.queue.name, error)
            if not messages:
                return False
        self._is_caught_up = self._has_drained and not self._woken.is_set()
        if messages:
            await self._inbox.receive(messages)
        return bool(messages)

    async def _receive(self, count: int) -> list[StoredMessage]:
        if self._extender is None:
            return await self.queue.get(count, visibility_seconds=self.visibility_seconds)
        return await self._extender.receive(self.queue, count, visibility_seconds=self.visibility_seconds)

    async def _wait(self, seconds: float) -> bool:
        """True if woken before the timeout."""
        if self._is_stopping:
            return True
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True
