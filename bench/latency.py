"""Measures how long a caller of an idle host waits: for one chunk, for twenty in a row, and after an external event.

Rule of this file: the host is idle before each run, so that the pauses of an idle host are counted.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from bench.caller import Caller, calling
from bench.figures import Figures, Measured, Say, in_milliseconds
from bench.limit import StorageChain
from bench.stack import running_azurite, running_host

ONE_CHUNK_RUNS = 50
OTHER_RUNS = 10
CHAIN_CHUNKS = 20
WARM_UP_RUNS = 5
IDLE_SECONDS = 1.0


def measure_latency(folder: Path, say: Say) -> Iterator[Measured]:
    with running_azurite(folder) as azurite, running_host(azurite.ports, folder) as host:

        async def measured() -> dict[str, Figures]:
            async with StorageChain.prepared(azurite.ports) as chain, calling(host, azurite.ports) as caller:
                for _ in range(WARM_UP_RUNS):
                    await caller.run("chain", {"chunks": 1})
                    await chain.run()
                one_chunk = await _one_chunk(caller, chain, say)
                in_a_row = await _in_a_row(caller, say)
                return {"1": one_chunk, str(CHAIN_CHUNKS): in_a_row, "event": await _event(caller, say)}

        for key, figures in asyncio.run(measured()).items():
            yield "latency", key, figures


async def _one_chunk(caller: Caller, chain: StorageChain, say: Say) -> Figures:
    completions, first_activities, chains, detections, status_requests = [], [], [], [], []
    for _ in range(ONE_CHUNK_RUNS):
        chains.append(await _timed(chain.run))
        await asyncio.sleep(IDLE_SECONDS)
        started_at, began = time.time(), time.perf_counter()
        links = await caller.start("chain", {"chunks": 1})
        ran_at = await caller.output_of(links["id"])
        completions.append(time.perf_counter() - began)
        first_activities.append(ran_at[0] - started_at)
        detections.append(await _timed(partial(caller.row_of, links["id"])))
        status_requests.append(await _timed(partial(caller.get_status, links)))
    ratio = statistics.median(completions) / statistics.median(chains)
    say(f"latency of one chunk: {ratio:.1f} times that of its storage operations")
    return {
        **in_milliseconds("completed", completions),
        **in_milliseconds("first_activity", first_activities),
        **in_milliseconds("storage_chain", chains),
        "ratio_to_storage_chain": ratio,
        **in_milliseconds("detection", detections),
        **in_milliseconds("status_request", status_requests),
        "runs": ONE_CHUNK_RUNS,
    }


async def _in_a_row(caller: Caller, say: Say) -> Figures:
    seconds = []
    for _ in range(OTHER_RUNS):
        await asyncio.sleep(IDLE_SECONDS)
        seconds.append(await _timed(partial(caller.run, "chain", {"chunks": CHAIN_CHUNKS})))
    say(f"latency of {CHAIN_CHUNKS} activities in a row: {1000 * statistics.median(seconds):.0f} ms")
    per_activity = 1000 * statistics.median(seconds) / CHAIN_CHUNKS
    return {**in_milliseconds("completed", seconds), "ms_per_activity": per_activity, "runs": OTHER_RUNS}


async def _event(caller: Caller, say: Say) -> Figures:
    completions, activities = [], []
    for _ in range(OTHER_RUNS):
        links = await caller.start("await_event", {})
        await caller.until_running(links["id"])
        await asyncio.sleep(IDLE_SECONDS)
        raised_at, began = time.time(), time.perf_counter()
        await caller.raise_event(links, "go")
        ran_at = await caller.output_of(links["id"])
        completions.append(time.perf_counter() - began)
        activities.append(ran_at - raised_at)
    say(f"latency of an event to the activity after it: {1000 * statistics.median(activities):.0f} ms")
    return {
        **in_milliseconds("next_activity", activities),
        **in_milliseconds("completed", completions),
        "runs": OTHER_RUNS,
    }


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began
