"""Chunks that do nothing, from the POST to Completed: beside the limit of the same N on the same Azurite just before.

Rule of this file: a figure and what it is compared with are taken in turns, so that the drift of the machine meets
both; each pair has an Azurite and a host of its own, so that no run pays for what another has stored.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.caller import Caller, calling
from bench.figures import Figures, Say
from bench.limit import measure_limit
from bench.proxy import counting_proxy
from bench.stack import running_azurite, running_host, watch
from bench.usage import Usage
from demo.host import Devhost
from devhost.azurite import Azurite

# As the app of this repository groups its chunks.
GROUP_SIZE = 250
WARM_UP_CHUNKS = 20

# Of many orchestrations at once.
MANY = 100
CHUNKS_OF_EACH = 10

Run = Callable[[Caller], Awaitable[float]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One fan-out, and the limit before it."""

    limit_seconds: float
    seconds: float
    usage: dict[str, Usage]


def measure_limits(folder: Path, numbers: tuple[int, ...], runs: int, say: Say) -> dict[str, Figures]:
    """The limit alone, for each N."""
    figures = {}
    for chunks in numbers:
        seconds = []
        for run in range(runs):
            with running_azurite(folder) as azurite:
                seconds.append(measure_limit(azurite.ports, chunks))
            say(f"limit {chunks}, run {run + 1}: {chunks / seconds[-1]:.1f} chunks/s")
        figures[str(chunks)] = limit_figures(chunks, seconds)
    return figures


def measure_fan_outs(
    folder: Path, numbers: tuple[int, ...], runs: int, say: Say
) -> tuple[dict[str, Figures], dict[str, Figures]]:
    """The limits and the fan-outs, for each N: grouped as the app does it, beyond one group flat as well."""
    limits, fan_outs = {}, {}
    for chunks in numbers:
        pairs, figures = _measure_shape(folder, chunks, GROUP_SIZE, runs, say)
        if chunks > GROUP_SIZE:
            flat_pairs, figures["flat"] = _measure_shape(folder, chunks, None, runs, say)
            pairs = pairs + flat_pairs
        limits[str(chunks)] = limit_figures(chunks, [pair.limit_seconds for pair in pairs])
        fan_outs[str(chunks)] = figures
    return limits, fan_outs


def _measure_shape(
    folder: Path, chunks: int, group_size: int | None, runs: int, say: Say
) -> tuple[list[Pair], Figures]:
    shape = f"fanout {chunks}" if group_size else f"fanout {chunks} flat"

    def fan_out(caller: Caller) -> Awaitable[float]:
        return caller.fan_out(chunks, group_size)

    pairs = []
    for run in range(runs):
        pairs.append(_measure_pair(folder, chunks, fan_out))
        seconds, limit_seconds = pairs[-1].seconds, pairs[-1].limit_seconds
        say(f"{shape}, run {run + 1}: {chunks / seconds:.1f} chunks/s, limit {chunks / limit_seconds:.1f}")
    requests = _count_requests(folder, fan_out)
    say(f"{shape}: {requests.total() / chunks:.2f} storage requests per chunk")
    return pairs, fan_out_figures(chunks, pairs, requests)


def measure_many(folder: Path, runs: int, say: Say) -> dict[str, Figures]:
    """Many orchestrations of few chunks at once, keyed by the chunks of all of them."""
    chunks = MANY * CHUNKS_OF_EACH

    def many(caller: Caller) -> Awaitable[float]:
        return caller.many_fan_outs(MANY, CHUNKS_OF_EACH)

    pairs = []
    for run in range(runs):
        pairs.append(_measure_pair(folder, chunks, many))
        say(f"many, run {run + 1}: {MANY} orchestrations of {CHUNKS_OF_EACH} chunks in {pairs[-1].seconds:.2f} s")
    return {str(chunks): {"orchestrations": MANY, **fan_out_figures(chunks, pairs, _count_requests(folder, many))}}


def _measure_pair(folder: Path, chunks: int, run: Run) -> Pair:
    with running_azurite(folder) as azurite:
        limit_seconds = measure_limit(azurite.ports, chunks)
        with running_host(azurite.ports, folder) as host:
            _timed(host, azurite, _warm_up)
            with watch(host, azurite) as watched:
                seconds = _timed(host, azurite, run)
            return Pair(limit_seconds=limit_seconds, seconds=seconds, usage=watched.usage)


def _count_requests(folder: Path, run: Run) -> Counter[str]:
    """What a host asks of its storage from the POST to Completed, in a run that nobody times."""
    with running_azurite(folder) as azurite, counting_proxy(azurite.ports) as proxy:
        with running_host(proxy.ports, folder) as host:
            _timed(host, azurite, _warm_up)
            before = proxy.requests()
            _timed(host, azurite, run)
            return proxy.requests() - before


def _timed(host: Devhost, azurite: Azurite, run: Run) -> float:
    async def called() -> float:
        async with calling(host, azurite.ports) as caller:
            return await run(caller)

    return asyncio.run(called())


def _warm_up(caller: Caller) -> Awaitable[float]:
    return caller.fan_out(WARM_UP_CHUNKS, None)


def limit_figures(chunks: int, seconds: list[float]) -> Figures:
    median = statistics.median(seconds)
    return {"seconds": median, "chunks_per_second": chunks / median, "runs": len(seconds)}


def fan_out_figures(chunks: int, pairs: list[Pair], requests: Counter[str]) -> Figures:
    """Medians over the pairs; the ratio is that of each pair, never of two medians."""
    seconds = statistics.median(pair.seconds for pair in pairs)
    return {
        "seconds": seconds,
        "chunks_per_second": chunks / seconds,
        "ratio_to_limit": statistics.median(pair.limit_seconds / pair.seconds for pair in pairs),
        "milliseconds_per_chunk": 1000 * seconds / chunks,
        "cpu_seconds": {
            name: statistics.median(pair.usage[name].cpu_seconds for pair in pairs) for name in pairs[0].usage
        },
        "peak_rss_mb": {name: max(pair.usage[name].peak_rss_mb for pair in pairs) for name in pairs[0].usage},
        "storage_requests_per_chunk": requests.total() / chunks,
        "storage_requests": dict(requests.most_common()),
        "runs": len(pairs),
    }
