"""Makes the messages visible that a dead host held, so that the listeners of their queues receive them.

The journal of a host shows if it is dead: see `durablehost.storage.messages.journal`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from durablehost.errors import StorageError, StorageUnavailable
from durablehost.storage.concurrency import call_each
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.journal import DeadJournal, JournalFolder, Receipt
from durablehost.storage.messages.visibility import FIRST_SECONDS

LOOK_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 1.0
# Few, so that the first activities need not wait for the last requests.
REQUESTS_AT_ONCE = 4
_POLL_SECONDS = 0.5

_log = logging.getLogger("Host.TaskHub")


class TakeOver:
    """Looks for hosts of this machine that have died.

    `on_found` is called when the control messages of a dead host are visible: its partitions are free.
    """

    def __init__(self, journals: JournalFolder, queues: HubQueues, on_found: Callable[[], None]) -> None:
        self._journals = journals
        self._queues = queues
        self._on_found = on_found
        self._has_looked = asyncio.Event()
        self._is_failing = False
        self._timers: list[asyncio.TimerHandle] = []

    async def run(self) -> None:
        """Looks for dead hosts until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def wait_for_first_look(self) -> None:
        """Waits, for a bounded time, until the first look has made control messages visible.

        Otherwise newer messages could overtake them.
        """
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._has_looked.wait(), LONGEST_WAIT_SECONDS)

    async def look(self) -> None:
        """Makes the messages visible that were held by hosts that have died since the last look."""
        journals = list(self._journals.find_dead())
        try:
            if journals:
                await self._show_all(journals)
                self._is_failing = False
        except StorageUnavailable as error:
            if not self._is_failing:
                _log.warning("The messages that a dead host held stay invisible for now: %s", error)
            self._is_failing = True
        finally:
            self._has_looked.set()
            for journal in journals:
                journal.close()

    async def _show_all(self, journals: Sequence[DeadJournal]) -> None:
        queues: dict[str, list[Receipt]] = {}
        for journal in journals:
            for receipt in journal.receipts:
                queues.setdefault(receipt.queue_name, []).append(receipt)
        requests = queues.pop(self._queues.work_items.name, [])
        # The messages of a queue in the order in which they were received, to preserve the order of events.
        shown = sum(await call_each(self._show_in_order, queues.values()))
        self._has_looked.set()
        self._on_found()
        self._poll_for_a_while()
        shown += sum(await call_each(self._show, requests, limit=REQUESTS_AT_ONCE))
        for journal in journals:
            journal.remove()
        if shown:
            _log.info("%d messages are visible again that were held by a host that has died", shown)

    async def _show_in_order(self, receipts: Sequence[Receipt]) -> int:
        return sum([await self._show(receipt) for receipt in receipts])

    async def _show(self, receipt: Receipt) -> bool:
        queue = self._queues.queue(receipt.queue_name)
        for pop_receipt in receipt.pop_receipts:
            try:
                if await queue.show(receipt.message_id, pop_receipt):
                    self._queues.notify(queue)
                    return True
            except StorageUnavailable:
                raise
            except StorageError as error:
                _log.warning("Message %s of queue '%s' stays invisible: %s", receipt.message_id, queue.name, error)
        return False

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _poll_for_a_while(self) -> None:
        # Messages that the host was receiving when it was killed are in no journal; they are visible within this time.
        self.stop()
        loop = asyncio.get_running_loop()
        polls = range(1, int(FIRST_SECONDS / _POLL_SECONDS) + 1)
        self._timers = [loop.call_later(number * _POLL_SECONDS, self._queues.notify_all) for number in polls]
