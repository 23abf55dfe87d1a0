"""Measures how soon the console shows the list of a hub with 100,000 instances, and how smoothly it scrolls.

Rule of this file: the hub is in memory and answers at once, so that what is measured is the console: from the answer of
the hub to the moment at which the browser has painted the rows. Both clocks are those of this machine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.figures import Measured, Say, percentile
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstancePage, InstanceQuery
from durablehost.web.console_server import ConsoleServer
from packages.durablehost.tests.browser.chromium import Chromium, find_chromium, running_chromium
from packages.durablehost.tests.browser.devtools import Page, open_page
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.fakes import BEGIN, FakeHub, FixedClock

INSTANCES = 100_000
# As many as the page keeps.
LOADED = 20_000
FRAMES = 300

_WATCH = """
const watch = () => document.querySelector('td.id')
  ? requestAnimationFrame(() => setTimeout(() => { window.paintedAt = performance.timeOrigin + performance.now(); }))
  : requestAnimationFrame(watch);
requestAnimationFrame(watch);
"""
# The milliseconds from frame to frame, while every frame scrolls by ten rows.
_SCROLL = """
new Promise((done) => {
  const box = document.querySelector('.long');
  const lengths = [];
  let before = performance.now();
  const step = () => {
    const now = performance.now();
    lengths.push(now - before);
    before = now;
    box.scrollTop += 360;
    if (lengths.length < %d) requestAnimationFrame(step);
    else done(lengths);
  };
  requestAnimationFrame(step);
})
"""


class LargeHub(FakeHub):
    """A hub with many instances; `answered_at` is when it gave its first page of a listing."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(INSTANCES):
            self.add(
                f"run-{number:06}",
                RuntimeStatus.FAILED if number % 50 == 0 else RuntimeStatus.COMPLETED,
                created_at=BEGIN - timedelta(days=2) + timedelta(seconds=number),
                last_updated_at=BEGIN - timedelta(days=1),
                custom_status='{"phase": "completed", "chunks_done": 100, "chunks_total": 100, "chunks_failed": 0}',
            )
        self._ids = sorted(self.records)
        self.answered_at = 0.0

    async def list_instances(self, query: InstanceQuery, *, page_size: int, **options: Any) -> InstancePage:
        if query.updated_from is not None:  # the search for changes: there are none
            return InstancePage(records=(), continuation_token=None)
        begin = int(options.get("continuation_token") or 0)
        end = begin + page_size
        records = tuple(self.records[key] for key in self._ids[begin:end])
        self.answered_at = self.answered_at or time.time()
        return InstancePage(records=records, continuation_token=str(end) if end < len(self._ids) else None)


def measure_console(folder: Path, runs: int, say: Say) -> Iterator[Measured]:
    program = find_chromium()
    if program is None:
        raise BenchError("There is no Chromium or Chrome to show the console in.")
    profile = folder / "chromium"
    profile.mkdir()
    with running_chromium(program, profile) as browser:
        yield "console", f"{INSTANCES:,}", asyncio.run(_measure(browser, runs, say))


async def _measure(browser: Chromium, runs: int, say: Say) -> dict[str, float]:
    hub = LargeHub()
    first_pages = []
    async with _serving(hub) as url:
        # The first run fills the caches of the browser.
        for run in range(runs + 1):
            milliseconds = await _first_page(browser, hub, url)
            if run:
                first_pages.append(milliseconds)
                say(f"console, run {run}: first page {milliseconds:.0f} ms after the answer of the hub")
        frames = await _frames(browser, url)
    say(f"console: {percentile(frames, 0.95):.1f} ms per frame at p95, with {LOADED:,} instances loaded")
    return {
        "first_page_ms": statistics.median(first_pages),
        "longest_first_page_ms": max(first_pages),
        "frame_p50_ms": statistics.median(frames),
        "frame_p95_ms": percentile(frames, 0.95),
        "runs": runs,
    }


@asynccontextmanager
async def _serving(hub: FakeHub) -> AsyncIterator[str]:
    client = OrchestrationClient(hub.port, None, FixedClock(), entity_functions=None)
    server = ConsoleServer(client, FixedClock(), hub_name="Large", connection_name="Memory", allows_actions=False)
    await server.start(0)
    try:
        yield server.url
    finally:
        await server.stop()


async def _first_page(browser: Chromium, hub: LargeHub, url: str) -> float:
    async with open_page(browser) as page:
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        hub.answered_at = 0.0
        await page.go(url)
        painted_at = await eventually(lambda: page.run("window.paintedAt ?? 0"))
        return float(painted_at) - 1000 * hub.answered_at


async def _frames(browser: Chromium, url: str) -> list[float]:
    async with open_page(browser) as page:
        await page.go(url)
        await eventually(lambda: _has_loaded(page), interval_seconds=0.2)
        return [float(length) for length in await page.run(_SCROLL % FRAMES)]


async def _has_loaded(page: Page) -> bool:
    await page.run("document.querySelector('.note button')?.click()")
    return f"{LOADED:,} instances" in await page.text()
