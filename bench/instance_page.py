"""Measures the console's page of an instance in a browser: `python -m bench.instance_page [CHUNKS]`.

The time from the begin of the navigation until the timeline and the first rows are painted, and the frames per second
while each table scrolls, for one run of 5,000 chunks. The storage is in memory, so only the host and the page count.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from packages.durablehost.tests.browser.chromium import Chromium, find_chromium, running_chromium
from packages.durablehost.tests.browser.devtools import Page, open_page
from packages.durablehost.tests.browser.runs import add_run
from packages.durablehost.tests.unit.web.conftest import EdgeFactory

CHUNKS = 5000
TRIALS = 5
# The milliseconds since the begin of the navigation, once a frame with both has been painted.
_PAINTED = """
new Promise((done) => {
  const row = '[aria-label=History] tbody tr:not(.room)';
  const look = () => document.querySelector('.timeline .bar') && document.querySelector(row)
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now())))
    : requestAnimationFrame(look);
  look();
})
"""
# The times of 300 frames, in each of which the table moves by a third of its height.
_FRAMES = """
new Promise((done) => {
  const box = document.querySelector('[aria-label=%s]');
  box.scrollIntoView({block: 'center'});
  box.scrollTop = 0;
  const times = [];
  const step = (time) => {
    times.push(time);
    if (times.length > 300) return done(times);
    box.scrollTop += box.clientHeight / 3;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})
"""


async def measure(browser: Chromium, chunks: int, folder: Path) -> None:
    edge = await EdgeFactory(folder)()
    add_run(edge, chunks, failed=frozenset({17}))
    url = f"http://localhost:{edge.server.port}/console#/instances/run"
    try:
        drawn = [await _time_to_draw(browser, url) for _ in range(TRIALS)]
        print(f"{chunks} chunks: drawn after {statistics.median(drawn):.0f} ms (median of {TRIALS}: {_shown(drawn)})")
        async with open_page(browser) as page:
            await page.go(url)
            await page.shows("activities")
            await _print_frames(page, "History")
            if "Load it all, and show the result" in await page.text():
                await page.click("Load it all, and show the result")
            await page.shows("Chunks", "The mean of each chunk")
            await _print_frames(page, "Chunks")
    finally:
        await edge.session.close()
        await edge.server.stop()


async def _time_to_draw(browser: Chromium, url: str) -> float:
    async with open_page(browser) as page:
        await page.go(url)
        return float(await page.run(_PAINTED))


async def _print_frames(page: Page, label: str) -> None:
    times: list[float] = await page.run(_FRAMES % label)
    lengths = sorted(after - before for before, after in pairwise(times))
    rate = 1000 / statistics.mean(lengths)
    slow = lengths[int(0.95 * len(lengths))]
    longest = lengths[-1]
    print(
        f"{label}: {rate:.0f} frames per second, 95 % of the frames within {slow:.1f} ms, all within {longest:.1f} ms"
    )


def _shown(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


def main(chunks: int) -> None:
    program = find_chromium()
    if program is None:
        raise SystemExit("needs Chromium or Chrome: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, running_chromium(program, Path(name)) as browser:
        asyncio.run(measure(browser, chunks, Path(name)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS)
