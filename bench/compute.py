"""Readings per second of the app's own activity over a large Parquet file, against one pass of Polars over the same.

Rule of this file: both sides answer the same question, are checked to have read every reading, and take turns.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl

from bench.caller import Caller, calling
from bench.errors import BenchError
from bench.figures import Figures, Say
from bench.stack import ROOT, running_azurite, running_host
from demo.arguments import to_iso

READINGS = 20_000_000
CHUNKS = (1, 4, 16)

_START = datetime(2024, 1, 1, tzinfo=timezone.utc)
_SERIES = 4
# A reading of each series in a second.
_END = _START + timedelta(seconds=READINGS // _SERIES)
_READINGS_PER_ROW_GROUP = 250_000
# As in the app's host.json.
_HUB = "DurableFuncDemo"


def measure_compute(folder: Path, runs: int, say: Say) -> dict[str, Figures]:
    file = folder / "readings.parquet"
    write_readings(file)
    say(f"compute: {READINGS:,} readings in {file.stat().st_size / 2**20:.0f} MB")
    settings = {"READINGS": str(file)}
    with running_azurite(folder) as azurite, running_host(azurite.ports, folder, app=ROOT, settings=settings) as host:

        async def measured() -> dict[str, Figures]:
            async with calling(host, azurite.ports, hub=_HUB) as caller:
                # What is timed finds the file in memory and the app's modules loaded.
                await _orchestration_seconds(caller, 1)
                return {str(chunks): await _measure_chunks(caller, chunks, file, runs, say) for chunks in CHUNKS}

        return asyncio.run(measured())


async def _measure_chunks(caller: Caller, chunks: int, file: Path, runs: int, say: Say) -> Figures:
    pairs = []
    for run in range(runs):
        single_pass = single_pass_seconds(file)
        pairs.append((single_pass, await _orchestration_seconds(caller, chunks)))
        say(f"compute in {chunks}, run {run + 1}: {pairs[-1][1]:.2f} s, single pass {single_pass:.2f} s")
    return compute_figures(pairs)


def compute_figures(pairs: list[tuple[float, float]]) -> Figures:
    """Medians over the pairs of seconds, a single pass and the orchestration each."""
    single_pass, orchestration = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    return {
        "seconds": orchestration,
        "readings_per_second": READINGS / orchestration,
        "single_pass_seconds": single_pass,
        "single_pass_readings_per_second": READINGS / single_pass,
        "ratio_to_single_pass": statistics.median(alone / chunked for alone, chunked in pairs),
        "runs": len(pairs),
    }


async def _orchestration_seconds(caller: Caller, chunks: int) -> float:
    request = {"start": to_iso(_START), "end": to_iso(_END), "total_chunks": chunks}
    began = time.perf_counter()
    output: dict[str, Any] = await caller.output_of((await caller.post("starter_function", request))["id"])
    seconds = time.perf_counter() - began
    _check(sum(result.get("records", 0) for result in output["results"]), f"an orchestration of {chunks} chunks")
    return seconds


def write_readings(file: Path) -> None:
    """Parquet as the app reads it: in the order of time, in row groups, its values not to be compressed."""
    number = pl.col("number")
    (
        pl.LazyFrame()
        .select(number=pl.int_range(READINGS, dtype=pl.Int64))
        .select(
            timestamp=pl.lit(_START) + pl.duration(seconds=number // _SERIES),
            series=pl.format("series-{}", number % _SERIES),
            # Multiplicative hashing: noise that is the same in every run.
            value=(number * 2_654_435_761 % 2**32).cast(pl.Float64) / 2**32,
        )
        .sink_parquet(file, row_group_size=_READINGS_PER_ROW_GROUP)
    )


def single_pass_seconds(file: Path) -> float:
    """The seconds of one pass of Polars, in a process of its own, without its start and imports."""
    ended = subprocess.run([sys.executable, "-m", "bench.compute", str(file)], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise BenchError(f"The single pass over {file} failed: {ended.stderr.strip()}")
    answer = json.loads(ended.stdout)
    _check(answer["records"], "the single pass")
    return float(answer["seconds"])


def _check(records: int, of: str) -> None:
    if records != READINGS:
        raise BenchError(f"{of} has read {records:,} of {READINGS:,} readings.")


def single_pass(file: str) -> dict[str, float]:
    """The statistics that the app makes, all of the file at once."""
    value = pl.col("value")
    began = time.perf_counter()
    statistics_per_series = (
        pl.scan_parquet(file)
        .group_by("series")
        .agg(
            records=pl.len(),
            count=value.count(),
            mean=value.mean(),
            std=value.std(),
            min=value.min(),
            max=value.max(),
        )
        .collect(engine="streaming")
    )
    return {"seconds": time.perf_counter() - began, "records": int(statistics_per_series["records"].sum())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(single_pass(sys.argv[1])))
