"""What becomes of the messages that a dead host held: they are made visible, to whoever listens to their queues.

Whether a host is dead is for its journal to show, see `devhost.storage.journal`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from devhost.errors import StorageError, StorageUnavailable
from devhost.storage.concurrency import call_each
from devhost.storage.hub_queues import HubQueues
from devhost.storage.journal import DeadJournal, JournalFolder, Receipt
from devhost.storage.visibility import FIRST_SECONDS

LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.5

_log = logging.getLogger("Host.TaskHub")


class TakeOver:
    """Looks for hosts of this machine that have died; `on_found` is called when the messages of one are visible."""

    def __init__(self, journals: JournalFolder, queues: HubQueues, on_found: Callable[[], None]) -> None:
        self._journals = journals
        self._queues = queues
        self._on_found = on_found
        self._is_failing = False
        self._timers: list[asyncio.TimerHandle] = []

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Makes visible what hosts held that have died since the last look."""
        for journal in self._journals.find_dead():
            try:
                await self._show_all(journal)
            except StorageUnavailable as error:
                if not self._is_failing:
                    _log.warning("The messages that a dead host held stay invisible for now: %s", error)
                self._is_failing = True
            else:
                self._is_failing = False
                journal.remove()
                self._on_found()
                self._poll_for_a_while()
            finally:
                journal.close()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _poll_for_a_while(self) -> None:
        # What was being received when the host was killed is in no journal, and visible again by the end of this time.
        self.stop()
        loop = asyncio.get_running_loop()
        polls = range(1, int(FIRST_SECONDS / _POLL_SECONDS) + 1)
        self._timers = [loop.call_later(number * _POLL_SECONDS, self._queues.notify_all) for number in polls]

    async def _show_all(self, journal: DeadJournal) -> None:
        shown = sum(await call_each(self._show, journal.receipts))
        if shown:
            _log.info("%d messages that the dead host '%s' held are visible again", shown, journal.worker_id)
        for name in {receipt.queue_name for receipt in journal.receipts}:
            self._queues.notify(self._queues.queue(name))

    async def _show(self, receipt: Receipt) -> bool:
        queue = self._queues.queue(receipt.queue_name)
        for pop_receipt in receipt.pop_receipts:
            try:
                if await queue.show(receipt.message_id, pop_receipt):
                    return True
            except StorageUnavailable:
                raise
            except StorageError as error:
                _log.warning("Message %s of queue '%s' stays invisible: %s", receipt.message_id, queue.name, error)
        return False
