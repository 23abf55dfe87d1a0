"""The built-in signal: three series with one reading a second, on whole seconds.

The rule of this file: a value is a pure function of its second, computed in integers of 1/1024 and scaled at the end,
which is exact. Floating point rounds differently at different places of a vector, so that a reading would depend on the
split of the window. The series keep well away from a mean of zero, where relative errors mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl

from shared_code.instants import to_microseconds
from shared_code.windows import Window

# Three series of this many seconds are about 70 MB; longer windows come as several frames.
_SECONDS_PER_FRAME: Final = 1_000_000
_SECOND: Final = 1_000_000  # in microseconds


_UNIT: Final = 1024
_PRIME: Final = 2_147_483_647  # hashes stay within 64 bits


class _Signal(NamedTuple):
    """A triangle wave between `low` and `low + swing`, with noise below `noise`; all in whole units of the series."""

    series: str
    low: int
    swing: int
    half_period_seconds: int
    noise: int
    seed: int


_SIGNALS: Final = (
    _Signal("humidity", 50, 20, 21_600, 2, 40_503),
    _Signal("pressure", 1_005, 16, 302_400, 1, 69_069),
    _Signal("temperature", 12, 12, 43_200, 1, 48_271),
)


def scan_signal(window: Window) -> Iterator[pl.LazyFrame]:
    """The window's readings, in one frame or more."""
    first, end = _whole_second(to_microseconds(window.start)), _whole_second(to_microseconds(window.end))
    for start in range(first, end, _SECONDS_PER_FRAME):
        seconds = pl.int_range(start, min(start + _SECONDS_PER_FRAME, end), eager=True).alias("second").to_frame()
        yield pl.concat([_readings(seconds.lazy(), signal) for signal in _SIGNALS])


def _whole_second(microseconds: int) -> int:
    """The first whole second not before `microseconds`."""
    return -(-microseconds // _SECOND)


def _readings(seconds: pl.LazyFrame, signal: _Signal) -> pl.LazyFrame:
    second = pl.col("second")
    height = (second % (2 * signal.half_period_seconds) - signal.half_period_seconds).abs()
    wave = height * (signal.swing * _UNIT) // signal.half_period_seconds
    noise = (second % _PRIME * signal.seed % _PRIME) % (signal.noise * _UNIT)
    value = (signal.low * _UNIT + wave + noise).cast(pl.Float64) * (1 / _UNIT)
    return seconds.select(
        timestamp=(second * _SECOND).cast(pl.Datetime("us", "UTC")), series=pl.lit(signal.series), value=value
    )
