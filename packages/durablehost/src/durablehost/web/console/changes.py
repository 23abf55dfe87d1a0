"""Finds the instances that have changed, for all open pages together, and only while a page is open.

One request to the storage at a time, and none sooner than a second after the one before; a slow storage gets more time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from durablehost.clock import Clock
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstancePage, InstanceQuery, InstanceRecord
from durablehost.errors import StorageError
from durablehost.resilience import is_worth_a_line

PAUSE_SECONDS = 1.0
# How far back each poll looks: a host writes the time at which an episode began, and stores it later.
_LOOK_BACK = timedelta(seconds=30)
_PAGE_SIZE = 1000

_log = logging.getLogger("Host.Web")


class OpenPage:
    """What one page has yet to be told. An instance that changes twice before the page reads counts once."""

    def __init__(self) -> None:
        self._changed: dict[str, InstanceRecord] = {}
        self._problem: str | None = None
        self._news = asyncio.Event()

    def tell(self, changed: list[InstanceRecord], problem: str | None) -> None:
        """`problem`: why the storage cannot be read; None: it can."""
        self._changed.update({record.instance_id: record for record in changed})
        if changed or problem != self._problem:
            self._news.set()
        self._problem = problem

    async def wait(self, seconds: float) -> bool:
        """Whether there is news within the time."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        return self._news.is_set()

    def take(self) -> tuple[list[InstanceRecord], str | None]:
        """The news, which count as told from now on."""
        changed, self._changed = list(self._changed.values()), {}
        self._news.clear()
        return changed, self._problem


class ChangeFeed:
    """Polls the storage from the first open page to the last."""

    def __init__(self, client: OrchestrationClient, clock: Clock, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._client = client
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._pages: set[OpenPage] = set()
        self._polling: asyncio.Task[None] | None = None
        self._seen: dict[str, InstanceRecord] = {}

    @asynccontextmanager
    async def open_page(self) -> AsyncIterator[OpenPage]:
        """A page that is told of every change from now on, as long as the block lasts."""
        page = OpenPage()
        self._pages.add(page)
        if len(self._pages) == 1:
            self._polling = asyncio.create_task(self._poll(), name="poll for the console")
        try:
            yield page
        finally:
            self._pages.discard(page)
            if not self._pages and self._polling is not None:
                self._polling.cancel()

    async def _poll(self) -> None:
        failures = 0
        self._seen = {}
        since, token = self._clock.now() - _LOOK_BACK, None
        while True:
            began_at = time.monotonic()
            try:
                page = await self._read(since, token)
            except Exception as error:  # the pages show it, and the next poll may work
                failures += 1
                self._report(error, failures)
                token = None
            else:
                failures = 0
                self._tell(self._changed(page), None)
                token = page.continuation_token
            if token is None:
                since = self._clock.now() - _LOOK_BACK
                self._forget_before(since)
            took = time.monotonic() - began_at
            await asyncio.sleep(max(self._pause_seconds - took, took))

    async def _read(self, since: datetime, token: str | None) -> InstancePage:
        return await self._client.list(
            InstanceQuery(updated_from=since), page_size=_PAGE_SIZE, continuation_token=token, with_payloads=False
        )

    def _changed(self, page: InstancePage) -> list[InstanceRecord]:
        changed = [record for record in page.records if self._seen.get(record.instance_id) != record]
        self._seen.update({record.instance_id: record for record in changed})
        return changed

    def _forget_before(self, since: datetime) -> None:
        self._seen = {key: record for key, record in self._seen.items() if record.last_updated_at >= since}

    def _report(self, error: Exception, failures: int) -> None:
        is_storage = isinstance(error, StorageError)
        if is_worth_a_line(failures):
            _log.warning("The console cannot read the task hub: %s", error, exc_info=None if is_storage else error)
        self._tell([], f"The task hub cannot be read: {error if is_storage else 'the log of the host says why'}")

    def _tell(self, changed: list[InstanceRecord], problem: str | None) -> None:
        for page in self._pages:
            page.tell(changed, problem)
