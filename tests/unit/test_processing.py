"""One chunk of readings: counted values, omitted values, and the rows of the window."""

from __future__ import annotations

import json
import math
import statistics
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

from shared_code.contracts import ChunkInput
from shared_code.processing import process_chunk
from shared_code.reading_errors import ReadingsError
from shared_code.readings import open_source
from shared_code.results import ChunkResult
from tests.unit.conftest import START, WriteReadings

HOUR = START + timedelta(hours=1)


def process(location: str = "synthetic", start: datetime = START, end: datetime = HOUR) -> ChunkResult:
    chunk = ChunkInput(chunk_id=0, start=start, end=end, total_chunks=1, time=START)
    return process_chunk(chunk, open_source({"READINGS": location}))


def test_each_series_gets_its_own_statistics(write_readings: WriteReadings) -> None:
    values = [1.0, 10.0, 2.0, 30.0, 6.0]

    result = process(write_readings(values, series=["a", "b", "a", "b", "a"]))

    a, b = result.statistics["a"], result.statistics["b"]
    assert (a.count, a.mean, a.min, a.max) == (3, 3.0, 1.0, 6.0)
    assert (b.count, b.mean, b.min, b.max) == (2, 20.0, 10.0, 30.0)
    assert a.std == pytest.approx(statistics.stdev([1.0, 2.0, 6.0]), rel=1e-12)
    assert result.records == 5


def test_nulls_and_values_that_are_not_finite_are_counted_apart(write_readings: WriteReadings) -> None:
    result = process(write_readings([1.0, None, math.nan, 3.0, math.inf, -math.inf]))

    a = result.statistics["a"]
    assert (a.count, a.mean, a.min, a.max) == (2, 2.0, 1.0, 3.0)
    assert (a.nulls, a.non_finite, result.records) == (1, 3, 6)


def test_a_series_without_any_value_has_counts_and_no_statistics(write_readings: WriteReadings) -> None:
    a = process(write_readings([None, None], value=pl.Series([None, None], dtype=pl.Float64))).statistics["a"]

    assert (a.count, a.nulls) == (0, 2)
    assert a.summary() == {"count": 0, "mean": None, "std": None, "min": None, "max": None}


def test_a_window_without_readings_is_a_success_with_no_records(write_readings: WriteReadings) -> None:
    result = process(write_readings([1.0]), START - timedelta(days=2), START - timedelta(days=1))

    assert (result.records, result.statistics) == (0, {})


def test_the_window_includes_its_start_and_excludes_its_end(write_readings: WriteReadings) -> None:
    location = write_readings([1.0, 2.0, 3.0])

    result = process(location, START, START + timedelta(minutes=2))

    assert result.records == 2


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_any_unit_and_zone_are_the_same_instants(
    write_readings: WriteReadings, unit: Literal["ms", "us", "ns"], zone: str | None
) -> None:
    naive = pl.Series([START.replace(tzinfo=None) + timedelta(minutes=minute) for minute in range(3)])
    timestamp = naive.dt.cast_time_unit(unit)
    if zone is not None:
        timestamp = timestamp.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    location = write_readings([1.0, 2.0, 3.0], timestamp=timestamp)
    microsecond = timedelta(microseconds=1)

    assert process(location, START, START + timedelta(minutes=2)).records == 2
    assert process(location, START + microsecond, START + timedelta(minutes=2) + microsecond).records == 2
    everything = (START.replace(year=1), START.replace(year=9999))
    assert process(location, *everything).records == 3


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Float32, pl.Decimal(10, 2)])
def test_a_value_may_be_of_any_numeric_type(write_readings: WriteReadings, dtype: pl.DataType) -> None:
    location = write_readings([1, 3], value=pl.Series([1, 3]).cast(dtype))

    assert process(location).statistics["a"].mean == 2.0


def test_a_small_spread_far_from_zero_is_not_lost(write_readings: WriteReadings) -> None:
    values = [1e9 + (number * 7919 % 1000) / 1000 for number in range(1000)]

    std = process(write_readings(values), end=START + timedelta(days=1)).statistics["a"].std

    assert std == pytest.approx(statistics.stdev(values), rel=1e-9)


def test_equal_values_have_no_spread(write_readings: WriteReadings) -> None:
    assert process(write_readings([0.1] * 50)).statistics["a"].std == pytest.approx(0.0, abs=1e-15)


def test_the_standard_deviation_is_null_for_a_single_value(write_readings: WriteReadings) -> None:
    assert process(write_readings([4.0])).statistics["a"].std is None


@pytest.mark.parametrize("values", [[0.0, -0.0], [-0.0, 0.0], [-0.0]], ids=str)
def test_zeros_have_one_sign_in_any_order(write_readings: WriteReadings, values: list[float]) -> None:
    one = process(write_readings(values)).statistics["a"]
    assert [str(number) for number in (one.min, one.max, one.mean)] == ["0.0"] * 3


def test_values_beyond_double_precision_fail_the_chunk_and_name_the_series(write_readings: WriteReadings) -> None:
    with pytest.raises(ReadingsError, match="series 'a'"):
        process(write_readings([1.7e308, -1.7e308]))


def test_the_synthetic_signal_has_three_series_with_one_reading_a_second() -> None:
    result = process()

    assert sorted(result.statistics) == ["humidity", "pressure", "temperature"]
    assert [each.count for each in result.statistics.values()] == [3600] * 3


def test_the_synthetic_signal_is_on_whole_seconds() -> None:
    half = timedelta(milliseconds=500)

    assert process(start=START - half, end=START + half).records == 3
    assert process(start=START + half, end=START + half + timedelta(milliseconds=1)).records == 0


def test_a_long_synthetic_window_comes_in_several_frames_with_the_same_result() -> None:
    start, middle = START, START + timedelta(days=13)
    end = start + timedelta(days=26)

    halves = [process(start=start, end=middle), process(start=middle, end=end)]

    assert process(start=start, end=end).records == sum(half.records for half in halves) == 3 * 26 * 86_400


def test_a_chunk_processed_twice_has_the_same_result(write_readings: WriteReadings) -> None:
    location = write_readings([float(number * 31 % 17) for number in range(60)])

    first, second = process(location), process(location)

    assert first.statistics == second.statistics


def test_a_result_is_plain_json_that_reads_back(write_readings: WriteReadings) -> None:
    result = process(write_readings([1.0, None, math.nan]))

    text = json.dumps(result.to_json(), allow_nan=False)

    assert ChunkResult.from_json(json.loads(text)) == result


def test_the_sample_data_agrees_with_polars_alone() -> None:
    location = str(Path(__file__).parents[2] / "sample_data" / "nyc_weather_2013.parquet")
    start, end = START.replace(year=2013, month=1, day=1, hour=0), START.replace(year=2013, month=4, day=1, hour=0)
    inside = pl.scan_parquet(location).filter(pl.col("timestamp").is_between(start, end, closed="left"))
    value = pl.col("value")
    expected = inside.group_by("series").agg(
        count=value.count(), mean=value.mean(), std=value.std(), min=value.min(), max=value.max()
    )

    result = process(location, start, end)

    rows = {row.pop("series"): row for row in expected.collect().to_dicts()}
    assert rows.keys() == result.statistics.keys()
    for series, row in rows.items():
        assert result.statistics[series].summary() == pytest.approx(row, rel=1e-9, abs=1e-12)
