"""The statistics of one chunk against exact fractions: to 1e-12, and to the last digit the same in any order."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from datetime import timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from shared_code.aggregation import merge
from shared_code.moments import Moments, measure
from shared_code.readings import Part
from shared_code.results import SeriesStatistics
from shared_code.windows import Window
from tests.unit.conftest import START
from tests.unit.test_processing import process

ROOT = Path(__file__).parents[2]
ROWS = 3_000


def part_of(frame: pl.DataFrame) -> Part:
    window = Window(start=START, end=START + timedelta(hours=1))
    return Part(scan=lambda paths, within: frame.lazy(), paths=["x"], window=window)


def moments(**series: list[float]) -> dict[str, Moments]:
    """The moments of the values, with the rows of the series mixed."""
    rows = [(name, value) for name, values in series.items() for value in values]
    random.Random(7).shuffle(rows)
    frame = pl.DataFrame(rows, schema={"series": pl.String, "value": pl.Float64}, orient="row")
    return measure(part_of(frame))


def assert_accurate(one: Moments, values: list[float]) -> None:
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    m2 = sum(((value - mean) ** 2 for value in exact), Fraction(0))
    assert (one.count, one.min, one.max) == (len(values), min(values), max(values))
    assert abs(one.mean - mean) <= abs(mean) / 10**12
    assert abs(one.m2 - m2) <= m2 / 10**12


def noise(scale: float = 1.0, offset: float = 0.0, seed: int = 1) -> list[float]:
    values = random.Random(seed)
    return [offset + scale * values.gauss(0, 1) for _ in range(ROWS)]


@pytest.mark.parametrize(
    "values",
    [
        noise(),
        noise(offset=1e9),
        noise(1e-9, offset=1.0),
        noise(1e-300),
        noise(1e150),
        noise(5e-324, offset=1e-310),
        [0.1] * ROWS,
        [0.0] * ROWS,
        [*noise(0.01, offset=20.0), 1e6],  # one outlier
        [*noise(0.01, offset=20.0), -1e30, 1e30 / 3],
        [float(2**number) for number in range(-60, 60)],
        [1.0, *noise(1e12, offset=1e15)],
        [1e16, 1.0, -1e16],
        [0.5, -0.0, 0.0, 5e-324],
        [-3.5],
    ],
    ids=lambda values: f"{values[0]:.3g}, {values[-1]:.3g}",
)
def test_any_values_are_accurate_to_1e_12(values: list[float]) -> None:
    assert_accurate(moments(a=values)["a"], values)


def test_series_of_very_different_magnitudes_are_accurate_together() -> None:
    series = {f"s{exponent}": noise(10.0**exponent, offset=3 * 10.0**exponent) for exponent in range(-12, 13, 3)}
    series["far"] = noise(1e-6, offset=1_000.0)
    series["tiny"] = noise(1e-300)
    measured = moments(**series)
    assert list(measured) == sorted(series)
    for name, values in series.items():
        assert_accurate(measured[name], values)


def test_larger_values_after_the_first_rows_are_in_the_sums() -> None:
    values = [1.0] * 70_000 + [1e12, 2e12, 3e12]
    frame = pl.DataFrame({"series": ["a"] * len(values), "value": values})
    assert_accurate(measure(part_of(frame))["a"], values)


@pytest.mark.parametrize("first", [timedelta(0), timedelta(minutes=30)])
def test_values_are_summed_wherever_in_the_window_they_begin(tmp_path: Path, first: timedelta) -> None:
    values = [1e12 + number for number in range(100)]
    times = [START + first + timedelta(seconds=number) for number in range(100)]
    pl.DataFrame({"timestamp": times, "series": "a", "value": values}).write_parquet(tmp_path / "x.parquet")
    one = process(str(tmp_path / "x.parquet")).statistics["a"]
    assert (one.count, one.mean) == (100, 1e12 + 49.5)
    assert one.std == pytest.approx(math.sqrt(83_325 / 99), rel=1e-15)


def test_sums_of_squares_beyond_128_bits_are_exact() -> None:
    """The largest integers of the scale: 4,096 squares of nearly 2^124."""
    values = [1.0 + number / 2**52 for number in range(4_096)]
    largest = math.nextafter(2.0, 0.0)
    assert moments(a=[*values, largest])["a"].squares == sum(Fraction(value) ** 2 for value in [*values, largest])


def test_values_that_do_not_count_are_counted_apart() -> None:
    one = moments(a=[1.0, math.nan, math.inf, -math.inf, 1e300])["a"]
    assert (one.records, one.count, one.nulls, one.non_finite, one.max) == (5, 2, 0, 3, 1e300)


def statistics_of(one: Moments) -> SeriesStatistics:
    mean = float(one.mean)
    low = float(one.mean - Fraction(mean))
    return SeriesStatistics(count=one.count, mean=mean, mean_low=low, std=one.std, min=one.min, max=one.max)


def exact_std(values: list[float]) -> float:
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    square = sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (len(exact) - 1)
    with localcontext(Context(prec=40)):
        return float((Decimal(square.numerator) / Decimal(square.denominator)).sqrt())


@pytest.mark.parametrize("size", [1, 30, 300])
@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1.0, 1e9), (1e-9, 1.0), (1e-200, 0.0), (1e-200, 1e-195), (1e-308, 1e-307), (1e200, 1e203)],
)
def test_mean_and_deviation_survive_merging_at_any_magnitude(scale: float, offset: float, size: int) -> None:
    """Also where the mean is 10^9 times the spread, and where squares are too small or too large for a double."""
    values = noise(scale, offset)[:300]
    first, *others = (statistics_of(moments(a=values[at : at + size])["a"]) for at in range(0, len(values), size))

    merged = first
    for other in others:
        merged = merge(merged, other)

    assert merged.mean == pytest.approx(statistics_of(moments(a=values)["a"]).mean, rel=1e-12, abs=0)
    assert merged.std == pytest.approx(exact_std(values), rel=1e-12, abs=0)


def test_sums_of_parts_are_the_sum_of_all() -> None:
    values = noise(offset=5.0)
    assert moments(a=values[:10])["a"] + moments(a=values[10:])["a"] == moments(a=values)["a"]


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """300,000 readings in several row groups, so that several threads share them."""
    number = pl.int_range(300_000, eager=True)
    pl.DataFrame(
        {
            "timestamp": START + number * timedelta(milliseconds=10),
            "series": pl.Series([f"s{n % 7}" for n in range(300_000)]),
            "value": (number * 2_654_435_761 % 2**32).cast(pl.Float64) / 2**32 * 10.0 ** (number % 7),
        }
    ).write_parquet(tmp_path / "x.parquet", row_group_size=20_000)
    return tmp_path / "x.parquet"


def digits(path: Path, threads: int) -> object:
    code = (
        "import json, sys; from tests.unit.test_processing import process;"
        "print(json.dumps({name: one.to_json() for name, one in process(sys.argv[1]).statistics.items()}))"
    )
    return json.loads(in_a_process(code, path, threads))


def in_a_process(code: str, path: Path, threads: int) -> str:
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return ended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak as Linux counts it")
def test_a_chunk_of_millions_of_readings_is_not_in_memory_as_a_whole(tmp_path: Path) -> None:
    """They are 200 MB of columns alone; the peak is that of a process with Polars, and does not grow with the chunk."""
    number = pl.int_range(8_000_000, dtype=pl.Int64)
    pl.LazyFrame().select(
        timestamp=pl.lit(START) + pl.duration(milliseconds=number // 4),
        series=pl.format("series-{}", number % 4),
        value=(number * 2_654_435_761 % 2**32).cast(pl.Float64) / 2**32,
    ).sink_parquet(tmp_path / "x.parquet", row_group_size=250_000)
    code = (
        "import sys; from tests.unit.test_processing import process; process(sys.argv[1]);"
        "print(open('/proc/self/status').read())"
    )

    status = in_a_process(code, tmp_path / "x.parquet", threads=1)

    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    assert peak < 300 * 1_024  # in KiB


def test_every_digit_is_the_same_on_every_run_and_number_of_threads(large_file: Path) -> None:
    here = {name: one.to_json() for name, one in process(str(large_file)).statistics.items()}
    assert [digits(large_file, threads) for threads in (1, 2, 5)] == [here] * 3
