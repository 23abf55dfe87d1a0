"""Activity requests: received in small batches, handed out one by one.

Rule of this file: nothing is hoarded. A request costs the emulator least when many are received at once, so a batch
grows while it is used up quickly; what was received and is not begun soon goes back to the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from devhost.storage.concurrency import Callers, call_each
from devhost.storage.queues import StoredMessage
from devhost.storage.sessions import HeldMessage

LARGEST_BATCH = 16
QUICK_SECONDS = 0.25
SLOW_SECONDS = 1.0
LONGEST_HOLD_SECONDS = 10.0
MAX_BUFFERED = 128
MAX_BUFFERED_BYTES = 32 * 1024 * 1024


class Reader(Protocol):
    """What makes stored messages readable."""

    async def read(self, stored: StoredMessage) -> HeldMessage | None:
        """The request; None where there is none to work on, and then it is out of the way."""


class BatchSize:
    """How many requests to receive at once."""

    def __init__(self) -> None:
        self.value = 1

    def used_up(self, seconds: float) -> None:
        """All that was received last was begun within this time."""
        if seconds <= QUICK_SECONDS:
            self.value = min(self.value * 2, LARGEST_BATCH)
        elif seconds >= SLOW_SECONDS:
            self.value = max(self.value // 2, 1)

    def not_used_up(self) -> None:
        self.value = 1


class WorkItemInbox:
    """The activity requests that this host holds.

    `spawn` runs what gives requests back, `release` makes them visible to all hosts at once.
    """

    def __init__(
        self,
        reader: Reader,
        release: Callable[[list[StoredMessage]], Coroutine[Any, Any, None]],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        *,
        longest_hold_seconds: float = LONGEST_HOLD_SECONDS,
    ) -> None:
        self._reader = reader
        self._release = release
        self._spawn = spawn
        self._longest_hold_seconds = longest_hold_seconds
        self._batch_size = BatchSize()
        self._received_at: float | None = None
        self._callers = Callers(self._hand_over)
        # In the order in which they came; keyed by message id.
        self._buffer: dict[str, HeldMessage] = {}
        self._buffered_bytes = 0
        self._held: dict[str, HeldMessage] = {}
        self._taken_at: dict[str, float] = {}

    @property
    def wanted(self) -> int:
        """How many requests to receive now; none while nobody waits for one."""
        waiting = self._callers.count
        return max(waiting, self._batch_size.value) if waiting else 0

    @property
    def has_room(self) -> bool:
        return len(self._buffer) < MAX_BUFFERED and self._buffered_bytes < MAX_BUFFERED_BYTES

    async def take(self) -> HeldMessage:
        """Waits for the next request."""
        held = await self._next()
        self._taken_at[held.stored.message_id] = time.monotonic()
        return held

    async def _next(self) -> HeldMessage:
        if self._buffer:
            return self._unbuffer(next(iter(self._buffer)))
        if self._received_at is not None:
            self._batch_size.used_up(asyncio.get_running_loop().time() - self._received_at)
            self._received_at = None
        return await self._callers.wait()

    async def receive(self, messages: list[StoredMessage]) -> None:
        new = [stored for stored in messages if not self._refresh(stored)]
        for held in await call_each(self._reader.read, new):
            if held:
                self.take_over(held)
        self._received_at = asyncio.get_running_loop().time()

    def take_over(self, held: HeldMessage) -> None:
        self._held[held.stored.message_id] = held
        self._hand_over(held)

    def _buffer_for_a_while(self, held: HeldMessage) -> None:
        is_full = self._buffered_bytes >= MAX_BUFFERED_BYTES
        self._buffer[held.stored.message_id] = held
        self._buffered_bytes += held.size
        if is_full:
            self._give_back(held)
        else:
            asyncio.get_running_loop().call_later(self._longest_hold_seconds, self._give_back, held)

    def _unbuffer(self, message_id: str) -> HeldMessage:
        held = self._buffer.pop(message_id)
        self._buffered_bytes -= held.size
        return held

    def _give_back(self, held: HeldMessage) -> None:
        if self._buffer.get(held.stored.message_id) is not held:
            return
        self._unbuffer(held.stored.message_id)
        self.finish(held.stored.message_id)
        self._batch_size.not_used_up()
        self._spawn(self._release([held.stored]), "give an activity request back")

    def holds(self, message_id: str) -> bool:
        return message_id in self._held

    @property
    def held_ids(self) -> frozenset[str]:
        return frozenset(self._held)

    def held(self, message_id: str) -> HeldMessage:
        """The request that was taken under this id and not finished."""
        return self._held[message_id]

    def seconds_out(self, message_id: str) -> float:
        """How long ago the request was taken."""
        return time.monotonic() - self._taken_at[message_id]

    def finish(self, message_id: str) -> None:
        """Forgets a request."""
        self._held.pop(message_id, None)
        self._taken_at.pop(message_id, None)

    def remove_waiting(self) -> list[HeldMessage]:
        """Forgets, and returns, what was not handed out."""
        removed = list(self._buffer.values())
        self._buffer.clear()
        self._buffered_bytes = 0
        for held in removed:
            self.finish(held.stored.message_id)
        return removed

    def _refresh(self, stored: StoredMessage) -> bool:
        known = self._held.get(stored.message_id)
        if known is None:
            return False
        known.stored.replace_by(stored)
        return True

    def _hand_over(self, held: HeldMessage) -> None:
        if not self._callers.hand(held):
            self._buffer_for_a_while(held)
