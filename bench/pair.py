"""Measures a host, and the limit just before it on the same Azurite; and counts the storage requests of the host.

Rule of this file: each pair has an Azurite and a host of its own, so that no run pays for what another has stored; and
no requests are counted in a timed run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.caller import Caller, calling
from bench.figures import Figures
from bench.limit import measure_limit
from bench.proxy import Counts, counting_proxy
from bench.stack import running_azurite, running_host, watch
from bench.usage import Usage
from demo.host import DurableHost
from durablehost.emulator.azurite import Azurite

WARM_UP_CHUNKS = 20

# Runs the measured work, and returns its seconds.
Run = Callable[[Caller], Awaitable[float]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The cost of one run, and the limit before it."""

    limit_seconds: float
    seconds: float
    # Until all its messages are deleted too, as in the limit.
    settled_seconds: float
    usage: dict[str, Usage]


def measure_pair(folder: Path, chunks: int, run: Run) -> Pair:
    with running_azurite(folder) as azurite:
        limit_seconds = measure_limit(azurite.ports, chunks)
        with running_host(azurite.ports, folder) as host:
            _timed(host, azurite, _warm_up)
            with watch(host, azurite) as watched:
                seconds, settled_seconds = _timed(host, azurite, run)
            return Pair(
                limit_seconds=limit_seconds, seconds=seconds, settled_seconds=settled_seconds, usage=watched.usage
            )


def count_requests(folder: Path, run: Run) -> Counts:
    """The storage requests of a host from the POST until all messages are deleted, in a run that is not timed."""
    with running_azurite(folder) as azurite, counting_proxy(azurite.ports) as proxy:
        with running_host(proxy.ports, folder) as host:
            _timed(host, azurite, _warm_up)
            proxy.tally.start_over()
            _timed(host, azurite, run)
            return proxy.tally.counts()


def _timed(host: DurableHost, azurite: Azurite, run: Run) -> tuple[float, float]:
    """The seconds that `run` returns, and those until all messages are deleted."""

    async def called() -> tuple[float, float]:
        async with calling(host, azurite.ports) as caller:
            began = time.perf_counter()
            seconds = await run(caller)
            await caller.until_settled()
            return seconds, time.perf_counter() - began

    return asyncio.run(called())


def _warm_up(caller: Caller) -> Awaitable[float]:
    return caller.fan_out(WARM_UP_CHUNKS, None)


def pair_figures(chunks: int, pairs: Sequence[Pair], counts: Counts) -> Figures:
    """Medians over the pairs; the ratio is that of each pair, never of two medians."""
    seconds = statistics.median(pair.seconds for pair in pairs)
    return {
        "seconds": seconds,
        "chunks_per_second": chunks / seconds,
        "settled_seconds": statistics.median(pair.settled_seconds for pair in pairs),
        "ratio_to_limit": statistics.median(pair.limit_seconds / pair.settled_seconds for pair in pairs),
        "milliseconds_per_chunk": 1000 * seconds / chunks,
        "cpu_seconds": {
            name: statistics.median(pair.usage[name].cpu_seconds for pair in pairs) for name in pairs[0].usage
        },
        "peak_rss_mb": {name: max(pair.usage[name].peak_rss_mb for pair in pairs) for name in pairs[0].usage},
        "storage_requests_per_chunk": counts.requests.total() / chunks,
        "storage_requests": dict(counts.requests.most_common()),
        "most_messages_stored": counts.most_messages,
        "runs": len(pairs),
    }
