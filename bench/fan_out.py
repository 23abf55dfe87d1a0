"""Measures chunks that do nothing, from the POST to Completed, beside the limit of the same N.

Rule of this file: a measurement and the one that it is compared with alternate, so that a drift of the machine affects
both.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Iterator
from pathlib import Path

from bench.caller import Caller
from bench.figures import Figures, Measured, Say
from bench.limit import measure_limit
from bench.pair import Pair, count_requests, measure_pair, pair_figures
from bench.stack import running_azurite

# As the app of this repository groups its chunks.
GROUP_SIZE = 100
# With more, one orchestration takes minutes, and shows nothing that the smaller ones do not show.
MOST_FLAT_CHUNKS = 1000
# Orchestrations at once, and the chunks of each.
MANY = 100
CHUNKS_OF_EACH = 10


def measure_limits(folder: Path, numbers: tuple[int, ...], runs: int, say: Say) -> Iterator[Measured]:
    """The limit alone, for each N."""
    for chunks in numbers:
        seconds = []
        for run in range(runs):
            with running_azurite(folder) as azurite:
                seconds.append(measure_limit(azurite.ports, chunks))
            say(f"limit {chunks}, run {run + 1}: {chunks / seconds[-1]:.1f} chunks/s")
        yield "limit", str(chunks), limit_figures(chunks, seconds)


def measure_fan_outs(folder: Path, numbers: tuple[int, ...], runs: int, say: Say) -> Iterator[Measured]:
    """The limits and the fan-outs, for each N: grouped as in the app, and, up to a bound, in one orchestration too."""
    for chunks in numbers:
        pairs, figures = _measure_shape(folder, chunks, GROUP_SIZE, runs, say)
        if GROUP_SIZE < chunks <= MOST_FLAT_CHUNKS:
            flat_pairs, figures["flat"] = _measure_shape(folder, chunks, None, runs, say)
            pairs = pairs + flat_pairs
        yield "limit", str(chunks), limit_figures(chunks, [pair.limit_seconds for pair in pairs])
        yield "fanout", str(chunks), figures


def _measure_shape(
    folder: Path, chunks: int, group_size: int | None, runs: int, say: Say
) -> tuple[list[Pair], Figures]:
    shape = f"fanout {chunks}" if group_size else f"fanout {chunks} flat"

    def fan_out(caller: Caller) -> Awaitable[float]:
        return caller.fan_out(chunks, group_size)

    pairs = []
    for run in range(runs):
        pairs.append(measure_pair(folder, chunks, fan_out))
        seconds, limit_seconds = pairs[-1].seconds, pairs[-1].limit_seconds
        say(f"{shape}, run {run + 1}: {chunks / seconds:.1f} chunks/s, limit {chunks / limit_seconds:.1f}")
    figures = pair_figures(chunks, pairs, count_requests(folder, fan_out))
    say(f"{shape}: {figures['storage_requests_per_chunk']:.2f} storage requests per chunk")
    return pairs, figures


def measure_many(folder: Path, runs: int, say: Say) -> Iterator[Measured]:
    """Many orchestrations of few chunks at once, keyed by the chunks of all of them."""
    chunks = MANY * CHUNKS_OF_EACH

    def many(caller: Caller) -> Awaitable[float]:
        return caller.many_fan_outs(MANY, CHUNKS_OF_EACH)

    pairs = []
    for run in range(runs):
        pairs.append(measure_pair(folder, chunks, many))
        say(f"many, run {run + 1}: {MANY} orchestrations of {CHUNKS_OF_EACH} chunks in {pairs[-1].seconds:.2f} s")
    figures = pair_figures(chunks, pairs, count_requests(folder, many))
    yield "many", str(chunks), {"orchestrations": MANY, **figures}


def limit_figures(chunks: int, seconds: list[float]) -> Figures:
    median = statistics.median(seconds)
    return {"seconds": median, "chunks_per_second": chunks / median, "runs": len(seconds)}
