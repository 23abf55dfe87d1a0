"""Measures in a browser how soon the console draws its large pages, and how smoothly they scroll.

Rule of this file: the hub is in memory and answers at once, so that what is measured is the console. Both clocks are
those of this machine.
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
from bench.figures import Figures, Measured, Say, percentile
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.ports import InstancePage, InstanceQuery
from durablehost.web.console_server import ConsoleServer
from packages.durablehost.tests.browser.chromium import Chromium, find_chromium, running_chromium
from packages.durablehost.tests.browser.devtools import Page, open_page
from packages.durablehost.tests.browser.runs import add_run
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.fakes import BEGIN, FakeHub, FixedClock

INSTANCES = 100_000
# As many as the page keeps.
LOADED = 20_000
CHUNKS = 5000
FRAMES = 300

LIST_IS_DRAWN = "document.querySelector('td.id')"
RUN_IS_DRAWN = (
    "document.querySelector('.timeline .bar') && document.querySelector('[aria-label=History] tbody tr:not(.room)')"
)

# Notes the time once a frame with all of it has been painted.
_WATCH = """
const watch = () => %s
  ? requestAnimationFrame(() => setTimeout(() => { window.paintedAt = performance.timeOrigin + performance.now(); }))
  : requestAnimationFrame(watch);
requestAnimationFrame(watch);
"""
# The milliseconds from frame to frame, while every frame scrolls by ten rows.
_SCROLL = """
new Promise((done) => {
  const box = document.querySelector('[aria-label=%s]');
  box.scrollIntoView({block: 'center'});
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
    """A hub with many instances and a large run; `answered_at` is when it gave its first page of a listing."""

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
        add_run(self, CHUNKS, failed=frozenset({17}))

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
        for name, figures in asyncio.run(_measure(browser, runs, say)).items():
            yield "console", name, figures


async def _measure(browser: Chromium, runs: int, say: Say) -> dict[str, Figures]:
    hub = LargeHub()
    async with _serving(hub) as url:
        names = f"list of {INSTANCES:,} instances", f"run of {CHUNKS:,} chunks"
        lists = [await _list_drawn(browser, hub, url) for _ in range(runs + 1)]
        list_frames = await _list_frames(browser, url)
        run = f"{url}#/instances/run"
        drawn = [await _run_drawn(browser, run) for _ in range(runs + 1)]
        run_frames = await _run_frames(browser, run)
    return {
        name: _figures(name, times, frames, say)
        for name, times, frames in zip(names, (lists, drawn), (list_frames, run_frames), strict=True)
    }


def _figures(name: str, times: list[float], frames: list[float], say: Say) -> Figures:
    # The first run fills the caches of the browser.
    counted = times[1:]
    say(f"console, {name}: drawn after {', '.join(f'{each:.0f}' for each in counted)} ms")
    return {
        "drawn_ms": statistics.median(counted),
        "longest_drawn_ms": max(counted),
        "frame_p50_ms": statistics.median(frames),
        "frame_p95_ms": percentile(frames, 0.95),
        "runs": len(counted),
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


async def _list_drawn(browser: Chromium, hub: LargeHub, url: str) -> float:
    """The milliseconds from the first answer of the hub to the paint of the first rows."""
    async with open_page(browser) as page:
        hub.answered_at = 0.0
        return await _painted_at(page, url, LIST_IS_DRAWN) - 1000 * hub.answered_at


async def _run_drawn(browser: Chromium, url: str) -> float:
    """The milliseconds from the begin of the navigation to the paint of the timeline and the first rows."""
    async with open_page(browser) as page:
        return await _painted_at(page, url, RUN_IS_DRAWN) - float(await page.run("performance.timeOrigin"))


async def _painted_at(page: Page, url: str, condition: str) -> float:
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH % condition)
    await page.go(url)
    return float(await eventually(lambda: page.run("window.paintedAt ?? 0")))


async def _list_frames(browser: Chromium, url: str) -> list[float]:
    async with open_page(browser) as page:
        await page.go(url)
        await eventually(lambda: _has_loaded(page), interval_seconds=0.2)
        return await _frames(page, "Instances")


async def _run_frames(browser: Chromium, url: str) -> list[float]:
    """Those of the history and of the chunks in the result."""
    async with open_page(browser) as page:
        await page.go(url)
        await page.click("Load it all, and show the result")
        await page.shows("activities", "The mean of each chunk")
        return [*await _frames(page, "History"), *await _frames(page, "Chunks")]


async def _frames(page: Page, label: str) -> list[float]:
    return [float(length) for length in await page.run(_SCROLL % (label, FRAMES))]


async def _has_loaded(page: Page) -> bool:
    await page.run("document.querySelector('.note button')?.click()")
    return f"{LOADED:,} instances" in await page.text()
