"""Activity requests: received in small batches, handed out one by one.

Rule of this file: nothing is hoarded. The emulator serves many requests at once most cheaply, so batches grow while
they are used up quickly; requests that no activity takes soon go back to the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from durablehost.storage.concurrency import Callers, TaskOwner, call_each
from durablehost.storage.messages.queues import StoredMessage
from durablehost.storage.messages.received import HeldMessage, Ledger, MessageState

LARGEST_BATCH = 16
QUICK_SECONDS = 0.25
SLOW_SECONDS = 1.0
LONGEST_BUFFERED_SECONDS = 10.0
MAX_BUFFERED = 128
MAX_BUFFERED_BYTES = 32 * 1024 * 1024


class Reader(Protocol):
    """Reads stored messages."""

    async def read(self, stored: StoredMessage) -> HeldMessage | None:
        """Returns the request; None if it cannot be read, and has been set aside or dropped."""


class BatchSize:
    """How many requests to receive at once."""

    def __init__(self) -> None:
        self.value = 1

    def used_up(self, seconds: float) -> None:
        """The last batch was used up within `seconds`."""
        if seconds <= QUICK_SECONDS:
            self.value = min(self.value * 2, LARGEST_BATCH)
        elif seconds >= SLOW_SECONDS:
            self.value = max(self.value // 2, 1)

    def not_used_up(self) -> None:
        self.value = 1


class WorkItemInbox:
    """The activity requests that this host holds; `release` makes requests visible again."""

    def __init__(
        self,
        reader: Reader,
        release: Callable[[list[StoredMessage]], Coroutine[Any, Any, None]],
        tasks: TaskOwner,
        *,
        longest_buffered_seconds: float = LONGEST_BUFFERED_SECONDS,
    ) -> None:
        self._reader = reader
        self._release = release
        self._tasks = tasks
        self._longest_buffered_seconds = longest_buffered_seconds
        self._batch_size = BatchSize()
        self._received_at: float | None = None
        self._callers = Callers(self._take_back)
        self._ledger = Ledger()
        self._requests: dict[str, HeldMessage] = {}
        # Requests that no activity has taken, oldest first.
        self._buffer: dict[str, HeldMessage] = {}
        self._taken_at: dict[str, float] = {}
        # When the last requests were taken.
        self._takes: deque[float] = deque(maxlen=MAX_BUFFERED)

    @property
    def wanted(self) -> int:
        """How many requests to receive now; 0 while no caller waits for one."""
        waiting = self._callers.count
        return max(waiting, self._batch_size.value) if waiting else 0

    @property
    def has_room(self) -> bool:
        return len(self._buffer) < self._most_buffered and self._buffered_bytes < MAX_BUFFERED_BYTES

    @property
    def _most_buffered(self) -> int:
        """As many as were taken within half of the time after which requests are given back, and a batch."""
        since = time.monotonic() - self._longest_buffered_seconds / 2
        return max(LARGEST_BATCH, sum(at > since for at in self._takes))

    @property
    def _buffered_bytes(self) -> int:
        return self._ledger.total(MessageState.WAITING).byte_count

    async def take(self) -> HeldMessage:
        """Waits for the next request."""
        held = await self._next()
        now = time.monotonic()
        self._taken_at[held.stored.message_id] = now
        self._takes.append(now)
        return held

    async def _next(self) -> HeldMessage:
        if self._buffer:
            held = self._buffer.pop(next(iter(self._buffer)))
            self._ledger.move(held, MessageState.OUT)
            return held
        if self._received_at is not None:
            self._batch_size.used_up(asyncio.get_running_loop().time() - self._received_at)
            self._received_at = None
        return await self._callers.wait()

    async def receive(self, messages: list[StoredMessage]) -> None:
        new = [stored for stored in messages if not self._ledger.refresh(stored)]
        for held in await call_each(self._reader.read, new):
            if held:
                self.take_over(held)
        self._received_at = asyncio.get_running_loop().time()

    def take_over(self, held: HeldMessage) -> None:
        self._requests[held.stored.message_id] = held
        self._ledger.move(held, MessageState.WAITING)
        self._hand_over(held)

    def _hand_over(self, held: HeldMessage) -> None:
        if self._callers.hand(held):
            self._ledger.move(held, MessageState.OUT)
        else:
            self._buffer_for_a_while(held)

    def _take_back(self, held: HeldMessage) -> None:
        self._ledger.move(held, MessageState.WAITING)
        self._hand_over(held)

    def _buffer_for_a_while(self, held: HeldMessage) -> None:
        self._buffer[held.stored.message_id] = held
        if self._buffered_bytes - held.size >= MAX_BUFFERED_BYTES:
            self._give_back(held)
        else:
            asyncio.get_running_loop().call_later(self._longest_buffered_seconds, self._give_back, held)

    def _give_back(self, held: HeldMessage) -> None:
        if self._buffer.get(held.stored.message_id) is not held:
            return
        del self._buffer[held.stored.message_id]
        self.finish(held.stored.message_id)
        self._batch_size.not_used_up()
        self._tasks.spawn(self._release([held.stored]), "give an activity request back")

    def holds(self, message_id: str) -> bool:
        return message_id in self._requests

    @property
    def held_ids(self) -> frozenset[str]:
        return frozenset(self._requests)

    def held(self, message_id: str) -> HeldMessage:
        """The request with this id, which was taken and is not finished."""
        return self._requests[message_id]

    def of_instance(self, instance_id: str) -> list[HeldMessage]:
        """The requests of an instance that this host holds."""
        return self._ledger.of_instance(instance_id)

    def seconds_out(self, message_id: str) -> float:
        """How long ago the request was taken; 0 if it is just being handed out."""
        now = time.monotonic()
        return now - self._taken_at.get(message_id, now)

    def finish(self, message_id: str) -> None:
        """Forgets a request, if it is held."""
        if held := self._requests.pop(message_id, None):
            self._ledger.move(held, MessageState.DONE)
        self._taken_at.pop(message_id, None)

    def remove_waiting(self) -> list[HeldMessage]:
        """Removes and returns the requests that no activity has taken."""
        removed = list(self._buffer.values())
        self._buffer.clear()
        for held in removed:
            self.finish(held.stored.message_id)
        return removed
