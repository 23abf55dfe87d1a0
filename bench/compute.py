"""Measures the readings per second of the app over a large Parquet file, against one pass of Polars over the same file.

The app's own computation of the whole file, without a host, is measured too: what it takes more than the pass is the
cost of the app, and what an orchestration takes more than it is the cost of the host. Rule of this file: all three
compute the same, are checked to have read every reading, and alternate.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl

from bench.caller import Caller, calling
from bench.errors import BenchError
from bench.figures import Figures, Measured, Say
from bench.stack import ROOT, running_azurite, running_host
from demo.arguments import to_iso
from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.readings import Source

READINGS = 20_000_000
CHUNKS = (1, 4, 16)

_START = datetime(2024, 1, 1, tzinfo=timezone.utc)
_SERIES = 4
# Each series has one reading per second.
_END = _START + timedelta(seconds=READINGS // _SERIES)
_READINGS_PER_ROW_GROUP = 250_000


def measure_compute(folder: Path, runs: int, say: Say) -> Iterator[Measured]:
    file = folder / "readings.parquet"
    write_readings(file)
    say(f"compute: {READINGS:,} readings in {file.stat().st_size / 2**20:.0f} MB")
    settings = {"READINGS": str(file)}
    with running_azurite(folder) as azurite, running_host(azurite.ports, folder, app=ROOT, settings=settings) as host:

        async def measured() -> dict[str, Figures]:
            async with calling(host, azurite.ports) as caller:
                # The timed runs find the file in memory and the modules of the app loaded.
                await _orchestration_seconds(caller, 1)
                return {str(chunks): await _measure_chunks(caller, chunks, file, runs, say) for chunks in CHUNKS}

        for chunks, figures in asyncio.run(measured()).items():
            yield "compute", chunks, figures


async def _measure_chunks(caller: Caller, chunks: int, file: Path, runs: int, say: Say) -> Figures:
    measured = []
    for run in range(runs):
        alone = _seconds_alone(file)
        measured.append(Times(orchestration=await _orchestration_seconds(caller, chunks), **alone))
        shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in asdict(measured[-1]).items())
        say(f"compute in {chunks}, run {run + 1}: {shown}")
    return compute_figures(measured)


@dataclass(frozen=True, kw_only=True)
class Times:
    """The seconds of one run."""

    orchestration: float
    activity: float
    single_pass: float


def compute_figures(measured: list[Times]) -> Figures:
    """Medians over the runs; the ratio is that of each run, never of two medians."""
    seconds = {name: statistics.median(getattr(times, name) for times in measured) for name in Times.__annotations__}
    return {
        "seconds": seconds["orchestration"],
        "readings_per_second": READINGS / seconds["orchestration"],
        "activity_alone_readings_per_second": READINGS / seconds["activity"],
        "single_pass_readings_per_second": READINGS / seconds["single_pass"],
        "ratio_to_activity_alone": statistics.median(each.activity / each.orchestration for each in measured),
        "ratio_to_single_pass": statistics.median(each.single_pass / each.orchestration for each in measured),
        "runs": len(measured),
    }


async def _orchestration_seconds(caller: Caller, chunks: int) -> float:
    request = {"start": to_iso(_START), "end": to_iso(_END), "total_chunks": chunks}
    began = time.perf_counter()
    output: dict[str, Any] = await caller.output_of((await caller.post("starter_function", request))["id"])
    seconds = time.perf_counter() - began
    _check(sum(result.get("records", 0) for result in output["results"]), f"an orchestration of {chunks} chunks")
    return seconds


def write_readings(file: Path) -> None:
    """Writes Parquet as the app reads it: in the order of time, in row groups, with values that do not compress."""
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


def _seconds_alone(file: Path) -> dict[str, float]:
    """The seconds of the pass and of the activity without a host, in another process, its start not counted."""
    ended = subprocess.run([sys.executable, "-m", "bench.compute", str(file)], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise BenchError(f"{file} cannot be computed without a host: {ended.stderr.strip()}")
    seconds: dict[str, float] = json.loads(ended.stdout)
    return seconds


def _compute_alone(file: str) -> dict[str, float]:
    return {"single_pass": _timed(lambda: _single_pass(file)), "activity": _timed(lambda: _activity(file))}


def _timed(read: Callable[[], int]) -> float:
    began = time.perf_counter()
    records = read()
    seconds = time.perf_counter() - began
    _check(records, "a computation without a host")
    return seconds


def _single_pass(file: str) -> int:
    """The statistics of the app, in the fastest way of Polars."""
    value = pl.col("value")
    per_series = (
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
    return int(per_series["records"].sum())


def _activity(file: str) -> int:
    window = {"start": to_iso(_START), "end": to_iso(_END), "time": to_iso(_START)}
    chunk = ChunkInput.from_json({"chunk_id": 0, "total_chunks": 1, **window})
    return process_chunk(chunk, Source(location=file)).records


def _check(records: int, of: str) -> None:
    if records != READINGS:
        raise BenchError(f"{of} has read {records:,} of {READINGS:,} readings.")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_compute_alone(sys.argv[1])))
