"""Laws of merging: N chunks equal one pass over all of them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from shared_code.aggregation import fold_chunks, fold_groups
from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.readings import Source
from shared_code.results import ChunkResult, SeriesStatistics
from shared_code.windows import Window, split

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

START = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
# Tenths around a base that is not zero, because relative errors of a mean near zero mean nothing.
VALUES = st.one_of(
    st.integers(1_000, 2_000).map(lambda tenths: tenths / 10), st.sampled_from([None, math.nan, math.inf])
)
READINGS = st.lists(st.tuples(st.sampled_from(["a", "b"]), VALUES), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merging") / "readings.parquet"


def process(path: Path, window: Window, chunk_id: int = 0) -> ChunkResult:
    chunk = ChunkInput(chunk_id=chunk_id, start=window.start, end=window.end, total_chunks=1, time=START)
    return process_chunk(chunk, Source(location=str(path)))


def assert_equal(merged: dict[str, SeriesStatistics], whole: dict[str, SeriesStatistics]) -> None:
    assert merged.keys() == whole.keys()
    for series, one in merged.items():
        other = whole[series]
        assert (one.count, one.min, one.max) == (other.count, other.min, other.max)
        assert (one.nulls, one.non_finite) == (other.nulls, other.non_finite)
        assert is_close(one.mean, other.mean)
        assert is_close(one.std, other.std)


def is_close(a: float | None, b: float | None) -> bool:
    """Compares absolutely as well, for a standard deviation that is only rounding."""
    return a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9))


@settings(max_examples=60, deadline=None)
@given(READINGS, st.integers(1, 12), st.integers(1, 4))
def test_merging_chunks_equals_one_pass(
    parquet: Path, readings: list[tuple[str, float | None]], total: int, group_size: int
) -> None:
    window = Window(start=START, end=START + len(readings) * MINUTE)
    write(parquet, readings)

    whole = process(parquet, window)
    chunks = [process(parquet, part, number) for number, part in enumerate(split(window, total))]
    groups = [fold_chunks(chunks[first : first + group_size]) for first in range(0, total, group_size)]

    assert sum(chunk.records for chunk in chunks) == whole.records == len(readings)
    assert_equal(fold_chunks(chunks).statistics, whole.statistics)
    assert_equal(fold_groups(groups).statistics, whole.statistics)


def write(path: Path, readings: list[tuple[str, float | None]]) -> None:
    pl.DataFrame(
        {
            "timestamp": [START + number * MINUTE for number in range(len(readings))],
            "series": [series for series, _ in readings],
            "value": pl.Series([value for _, value in readings], dtype=pl.Float64),
        }
    ).write_parquet(path)
