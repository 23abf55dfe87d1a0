"""The built-in signal: three series with one reading a second, on whole seconds.

The rule of this file: a value is a pure function of its second, in integers up to the last operations, so any split of
a window yields the same readings. The series keep well away from a mean of zero, where relative errors mean nothing.
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


class _Signal(NamedTuple):
    series: str
    base: float
    swing: float
    period_seconds: int
    noise: float
    seed: int


_SIGNALS: Final = (
    _Signal("humidity", 60.0, 15.0, 43_200, 2.0, 40_503),
    _Signal("pressure", 1013.25, 8.0, 604_800, 0.5, 69_069),
    _Signal("temperature", 18.0, 7.0, 86_400, 0.8, 48_271),
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
    # A triangle wave and a hash of the second, both from integers: no libm, so no platform rounds them differently.
    phase = (second % signal.period_seconds - signal.period_seconds // 2).abs() / (signal.period_seconds // 2)
    hashed = ((second % 2_147_483_647) * signal.seed % 2_147_483_647) % 10_007 / 10_007
    value = signal.base + signal.swing * (phase - 0.5) + signal.noise * (hashed - 0.5)
    return seconds.select(
        timestamp=(second * _SECOND).cast(pl.Datetime("us", "UTC")), series=pl.lit(signal.series), value=value
    )
