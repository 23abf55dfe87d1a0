"""Sums the values of each series, and their squares, exactly: in one streaming pass, in any order.

Floating-point sums depend on the order of the values, which a streaming pass with several threads does not keep. So
each value is scaled by a power of two and cut to an integer of 62 bits; sums of integers are the same in any order.
The sums of squares have up to 150 bits: Int128 keeps them modulo 2^128, and an approximate sum tells the rest.

The scale comes from the first rows, which are the same in every run. It is checked afterwards: series that do not fit
it, because of larger values or of much smaller ones, are summed again with a scale of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Final

import polars as pl

from shared_code.readings import Part

# The integers are below 2^62, so that their squares are far within 128 bits.
_BITS: Final = 62
# A double is a multiple of the unit if it is at least 2^52 units, as it has 53 bits.
_EXACT_BITS: Final = 52
# What the cut may cost otherwise: less than 2^-42 (2e-13) of the mean, and of the deviation.
_ACCURATE_BITS: Final = 43
# The first rows, of one file those of a 64th of the window, and the factor (2^3) by which later values may be larger.
_PROBED_ROWS: Final = 65_536
_PROBED_SHARE: Final = 64
_HEADROOM_BITS: Final = 3
# Series that are summed again share a scale if their magnitudes differ by less than 2^8, so that all stay exact.
_SHARED_BITS: Final = 8
# Powers of two beyond this are no doubles.
_MOST_DOUBLINGS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The exact sums of one series; all but the counts are over the finite values, of which there are `count`."""

    records: int
    count: int
    nulls: int
    non_finite: int
    min: float | None
    max: float | None
    total: Fraction
    squares: Fraction

    def __add__(self, other: Moments) -> Moments:
        both = [one for one in (self, other) if one.count]
        return Moments(
            records=self.records + other.records,
            count=self.count + other.count,
            nulls=self.nulls + other.nulls,
            non_finite=self.non_finite + other.non_finite,
            min=min((one.min for one in both if one.min is not None), default=None),
            max=max((one.max for one in both if one.max is not None), default=None),
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    @property
    def mean(self) -> Fraction:
        return self.total / self.count

    @property
    def m2(self) -> Fraction:
        """The sum of the squared distances from the mean."""
        return self.squares - self.total * self.total / self.count

    @property
    def std(self) -> float | None:
        """The sample standard deviation (over n - 1), rounded; None for fewer than two values.

        Raises:
            OverflowError: it is too large for a double.
        """
        return _root(self.m2 / (self.count - 1)) if self.count > 1 else None


def measure(part: Part) -> dict[str, Moments]:
    """The sums of each series of `part`, in the order of the names.

    Raises:
        ReadingsError: a file cannot be read.
    """
    exponent = _exponent(_largest_at_first(part)) + _HEADROOM_BITS
    rows = part.collect(partial(_sums, exponent=exponent)).to_dicts()
    measured = {row["series"]: _moments(row, exponent) for row in rows}
    misfits = [row["series"] for row in rows if not _fits(row, measured[row["series"]], exponent)]
    for batch, own in _batches((series, _magnitude(measured[series])) for series in misfits):
        again = part.collect(partial(_sums_of, series=batch, exponent=own))
        measured.update((row["series"], _moments(row, own)) for row in again.to_dicts())
    return dict(sorted(measured.items()))


def _largest_at_first(part: Part) -> float | None:
    """The largest magnitude of the first values; None if there are none.

    Of one file, the beginning of the window is looked at first: to find the first rows of the whole window, Polars
    reads several row groups ahead. Of several files, that would open all, but the first rows are in the first ones.
    """
    found: float | None = None
    if len(part.paths) == 1:
        found = part.collect(_probe, part.window.part(0, _PROBED_SHARE)).item()
    if found is None:
        found = part.collect(_probe).item()
    return found


def _finite() -> pl.Expr:
    # The sum makes 0.0 of -0.0: they are equal, so which of them is an extreme would depend on the order of the values.
    return pl.when(pl.col("value").is_finite()).then(pl.col("value") + 0.0)


def _probe(readings: pl.LazyFrame) -> pl.LazyFrame:
    return readings.head(_PROBED_ROWS).select(_finite().abs().max())


def _exponent(value: float | None) -> int:
    """The least `e` with |value| < 2^e."""
    return math.frexp(value or 0.0)[1]


def _sums(readings: pl.LazyFrame, exponent: int) -> pl.LazyFrame:
    """The counts and sums per series; values of 2^exponent or more are not in the sums."""
    value, finite, scaled = pl.col("value"), pl.col("finite"), pl.col("scaled")
    whole = scaled.cast(pl.Int64, strict=False).cast(pl.Int128)
    return (
        readings.with_columns(finite=_finite())
        .with_columns(scaled=_times_power_of_two(finite, _BITS - exponent))
        .group_by("series")
        .agg(
            records=pl.len(),
            nulls=value.null_count(),
            count=finite.count(),
            min=finite.min(),
            max=finite.max(),
            total=whole.sum(),
            squares=(whole * whole).sum(),
            about=(scaled * scaled).sum(),
        )
    )


def _sums_of(readings: pl.LazyFrame, series: list[str], exponent: int) -> pl.LazyFrame:
    return _sums(readings.filter(pl.col("series").is_in(series)), exponent)


def _times_power_of_two(value: pl.Expr, doublings: int) -> pl.Expr:
    """Exact, but for values that become too large or too small for a double."""
    while doublings:
        step = max(-_MOST_DOUBLINGS, min(doublings, _MOST_DOUBLINGS))
        value, doublings = value * math.ldexp(1.0, step), doublings - step
    return value


def _moments(row: dict[str, Any], exponent: int) -> Moments:
    count, unit = row["count"], Fraction(2) ** (exponent - _BITS)
    about = row["about"]
    # Infinite only if values are beyond the scale, and then the sums are not used.
    lost = (int(about) - row["squares"] + 2**127) >> 128 if math.isfinite(about) else 0
    return Moments(
        records=row["records"],
        count=count,
        nulls=row["nulls"],
        non_finite=row["records"] - row["nulls"] - count,
        min=row["min"],
        max=row["max"],
        total=row["total"] * unit,
        squares=(row["squares"] + (lost << 128)) * unit * unit,
    )


def _root(square: Fraction) -> float:
    """The square root, also of a number that is too small or too large for a double."""
    doublings = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(square / Fraction(4) ** doublings), doublings)


def _magnitude(one: Moments) -> int:
    return _exponent(max(abs(one.min or 0.0), abs(one.max or 0.0)))


def _fits(row: dict[str, Any], one: Moments, exponent: int) -> bool:
    """Whether the sums are exact, or the cut of the values to integers makes no difference that counts."""
    if one.count == 0 or one.min == one.max == 0.0:
        return True
    if _magnitude(one) > exponent:
        return False
    unit = Fraction(2) ** (exponent - _BITS)
    least = min(abs(row["min"]), abs(row["max"])) if row["min"] * row["max"] > 0 else 0.0
    is_exact: bool = least >= unit * 2**_EXACT_BITS
    is_accurate = abs(one.mean) >= unit * 2**_ACCURATE_BITS and one.m2 >= one.count * (unit * 2**_ACCURATE_BITS) ** 2
    return is_exact or is_accurate


def _batches(magnitudes: Iterable[tuple[str, int]]) -> Iterable[tuple[list[str], int]]:
    """Series of similar magnitudes, with the exponent for all of them."""
    batches: list[tuple[list[str], int]] = []
    for series, magnitude in sorted(magnitudes, key=lambda each: (-each[1], each[0])):
        if not batches or batches[-1][1] - magnitude >= _SHARED_BITS:
            batches.append(([], magnitude))
        batches[-1][0].append(series)
    return batches
