"""Batches of messages, handed to waiting dispatchers as soon as their episode is due.

Rule of this file: every change that may make a batch due ends in `offer`. Mirrors the waiting half of
DurableTask.AzureStorage.OrchestrationSessionManager.
"""

from __future__ import annotations

import asyncio

from durablehost.storage.concurrency import Callers
from durablehost.storage.messages.pacing import Pace
from durablehost.storage.messages.received import HeldMessage
from durablehost.storage.messages.sessions import Batch, Sessions


class DueBatches:
    """Hands out batches in the order in which their episodes become due."""

    def __init__(self, sessions: Sessions, pace: Pace) -> None:
        self._sessions = sessions
        self._pace = pace
        self._callers = Callers(self.put_back)
        self._next_offer: asyncio.TimerHandle | None = None

    async def next(self) -> Batch:
        """Waits for the next batch; its instance is out until `put_back` or `finish`."""
        return self._take() or await self._callers.wait()

    def add(self, held: HeldMessage) -> None:
        """Adds a received message, and hands out the batches that are due."""
        self._pace.received(held.message)
        self._sessions.add(held)
        self.offer()

    def offer(self) -> None:
        """Hands due batches to waiting callers. Call it after every change that may make a batch due."""
        while self._callers.count and (batch := self._take()):
            self._callers.hand(batch)

    def put_back(self, batch: Batch) -> None:
        """Undoes `next`."""
        self._sessions.put_back(batch)
        self.offer()

    def finish(self, batch: Batch, kept_ids: frozenset[str], *, is_over: bool) -> None:
        """Ends an episode; messages with these ids join the next one. `is_over`: the execution has ended, too."""
        self._sessions.finish(batch, kept_ids)
        self._pace.end(batch.instance_id, is_over=is_over)
        self.offer()

    def stop(self) -> None:
        if self._next_offer is not None:
            self._next_offer.cancel()

    def _take(self) -> Batch | None:
        batch = self._sessions.take(self._is_due)
        if batch is not None:
            self._pace.begin(batch)
        return batch

    def _is_due(self, batch: Batch, ready_at: float) -> bool:
        wait_seconds = self._pace.wait_seconds(batch, ready_at)
        if wait_seconds:
            self._offer_after(wait_seconds)
        return not wait_seconds

    def _offer_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._next_offer is not None:
            if self._next_offer.when() <= loop.time() + seconds:
                return
            self._next_offer.cancel()
        self._next_offer = loop.call_later(seconds, self._offer_again)

    def _offer_again(self) -> None:
        self._next_offer = None
        self.offer()
