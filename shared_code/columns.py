"""The columns of a file as readings: which they are, their types, and the rows of a window.

The rule of this file: whatever holds the same instants, names and numbers is read alike. A type that would lose
something is refused, with the name of the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import unquote

import polars as pl

from shared_code.instants import to_microseconds
from shared_code.windows import Window

READINGS_COLUMNS: Final = "READINGS_COLUMNS"
READINGS_WIDE: Final = "READINGS_WIDE"
READINGS_EPOCH: Final = "READINGS_EPOCH"

_MOST_DIGITS: Final = 38  # of a Decimal in Polars
_NAMES: Final = ("timestamp", "series", "value")
_INT64: Final = 2**63
# Ticks of a time unit in a second.
_TICKS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SECONDS_PER_DAY: Final = 86_400
_INEXACT_MICROSECONDS: Final = 1_000_000
# ISO 8601 as text: with an offset, then without one, which is taken as UTC.
_WITH_OFFSET: Final = "%+"
_WITHOUT_OFFSET: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")
# What these forms lack: times to the minute, and offsets of whole hours as PostgreSQL and DuckDB write them.
_TO_THE_MINUTE: Final = r"([Tt ]\d?\d:\d\d)([Zz+ -]|$)"
_WHOLE_HOURS: Final = r"(:\d\d(?:\.\d+)?[+-]\d\d)$"
_FOUR_DIGITS: Final = r"^\s*[+-]?\d{4}"

Schema = Mapping[str, pl.DataType]


class Bounds(NamedTuple):
    """The first and the last timestamp of a file, in microseconds since 1970."""

    first: int
    last: int

    def is_outside(self, window: Window) -> bool:
        """Whether no instant from first to last is in the window."""
        return self.last < to_microseconds(window.start) or self.first >= to_microseconds(window.end)


# Those of a file in which no row has a timestamp: outside of every window. Both are beyond the years of any calendar.
NO_BOUNDS: Final = Bounds(2**62, -(2**62))


class ColumnsError(Exception):
    """A setting about columns is not valid, or a file does not have the columns of readings."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The names of the columns; if `is_wide`, each other numeric column is a series."""

    timestamp: str = "timestamp"
    series: str = "series"
    value: str = "value"
    is_wide: bool = False
    epoch: str | None = None

    def shape(self, path: str, schema: Schema) -> Shape:
        """How this file has its readings.

        Raises:
            ColumnsError: a column is missing, or has a type that is not that of readings.
        """
        series = None if self.series in schema else _partition(path, self.series)
        wanted = [self.timestamp]
        if series is None and not (self.is_wide and self.series not in schema):
            wanted.append(self.series)
        wanted += self._measures(schema) if self.is_wide else [self.value]
        if self.is_wide and not self._measures(schema):
            raise ColumnsError(f"{path} has no numeric column; it has {', '.join(schema)}")
        missing = [column for column in wanted if column not in schema]
        if missing:
            raise ColumnsError(f"{path} has no column '{missing[0]}'; it has {', '.join(schema)}")
        shape = Shape(
            columns=self,
            types=tuple((column, schema[column]) for column in wanted),
            series=series,
            values=tuple(wanted[wanted.index(self.series) + 1 :] if self.series in wanted else wanted[1:]),
        )
        shape.check(path)
        return shape

    def timestamps_alone(self, schema: Schema) -> Shape | None:
        """The shape of a file of which only the timestamps count; None if these are not usable either."""
        if self.timestamp not in schema:
            return None
        shape = Shape(columns=self, types=((self.timestamp, schema[self.timestamp]),), series=None, values=())
        try:
            shape.check_timestamp("")
        except ColumnsError:
            return None
        return shape

    def _measures(self, schema: Schema) -> list[str]:
        others = {self.timestamp, self.series}
        return [column for column, dtype in schema.items() if dtype.is_numeric() and column not in others]


def parse_columns(environment: Mapping[str, str]) -> Columns:
    """The columns that the app settings `READINGS_COLUMNS`, `READINGS_WIDE` and `READINGS_EPOCH` name.

    Raises:
        ColumnsError: a setting is not valid.
    """
    names: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in environment.get(READINGS_COLUMNS, "").split(","))):
        ours, equals, theirs = (text.strip() for text in part.partition("="))
        if ours not in _NAMES or not equals or not theirs or ours in names:
            raise ColumnsError(
                f"the app setting {READINGS_COLUMNS} must be like timestamp=Time,series=Sensor,value=Reading;"
                f" '{part}' is not"
            )
        names[ours] = theirs
    wide = environment.get(READINGS_WIDE, "").strip().lower()
    if wide not in {"", "true", "false", "1", "0"}:
        raise ColumnsError(f"the app setting {READINGS_WIDE} must be true or false")
    epoch = environment.get(READINGS_EPOCH, "").strip() or None
    if epoch is not None and epoch not in _TICKS:
        raise ColumnsError(f"the app setting {READINGS_EPOCH} must be s, ms, us or ns")
    columns = Columns(**names, is_wide=wide in {"true", "1"}, epoch=epoch)
    used = [columns.timestamp, columns.series, *([] if columns.is_wide else [columns.value])]
    if len(set(used)) < len(used):
        raise ColumnsError(f"the app setting {READINGS_COLUMNS} gives two of {', '.join(_NAMES)} the same column")
    return columns


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What files must share to be read in one scan: the columns with their types, and the series of the folder."""

    columns: Columns
    types: tuple[tuple[str, pl.DataType], ...]
    series: str | None
    values: tuple[str, ...]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return dict(self.types)

    def check(self, path: str) -> None:
        self.check_timestamp(path)
        for column, dtype in self.types:
            if column == self.columns.timestamp:
                continue
            if column == self.columns.series:
                if not is_text(dtype):
                    raise _wrong_type(path, column, dtype, "a string")
            elif not (dtype.is_numeric() or isinstance(dtype, pl.Null)):
                raise _wrong_type(path, column, dtype, "a number")
            elif isinstance(dtype, pl.Decimal) and (dtype.precision or 0) > _MOST_DIGITS:
                raise _wrong_type(path, column, dtype, f"one of at most {_MOST_DIGITS} digits")

    def check_timestamp(self, path: str) -> None:
        column, dtype = self.columns.timestamp, self.schema[self.columns.timestamp]
        if dtype.is_numeric() and not dtype.is_decimal():
            if self.columns.epoch is None:
                raise _wrong_type(path, column, dtype, f"a datetime; for an epoch, set {READINGS_EPOCH}")
        elif not (isinstance(dtype, pl.Datetime | pl.Date) or is_text(dtype)):
            raise _wrong_type(path, column, dtype, "a datetime")

    def readings(self, rows: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """The readings of `window`, one row each: `timestamp` (UTC), `series` (text) and `value` (float)."""
        inside, at = self.in_window(rows, window), self._instant()
        named = pl.col(self.columns.series).cast(pl.String).fill_null("") if self._has_series else pl.lit(self.series)
        if not self.columns.is_wide:
            return inside.select(timestamp=at, series=named, value=pl.col(self.values[0]).cast(pl.Float64))
        parts = []
        for column in self.values:
            series = pl.lit(column) if self.series is None and not self._has_series else named + pl.lit(f".{column}")
            parts.append(inside.select(timestamp=at, series=series, value=pl.col(column).cast(pl.Float64)))
        return pl.concat(parts)

    def _instant(self) -> pl.Expr:
        """The timestamps of rows of `in_window` as instants, to the microsecond."""
        at, dtype = pl.col(self.columns.timestamp), self.schema[self.columns.timestamp]
        if dtype.is_numeric():
            ticks = _TICKS[str(self.columns.epoch)]
            microseconds = at * (1_000_000 / ticks) if dtype.is_float() else at.cast(pl.Int128) * 1_000_000 // ticks
            return microseconds.cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
        is_in_utc = is_text(dtype) or (isinstance(dtype, pl.Datetime) and dtype.time_zone)
        return (
            at.cast(pl.Datetime("us", "UTC")) if is_in_utc else at.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        )

    @property
    def _has_series(self) -> bool:
        return self.columns.series in self.schema

    def comparable(self) -> pl.Expr:
        """The timestamps in a type that bounds of the window can be compared with."""
        at, dtype = pl.col(self.columns.timestamp), self.schema[self.columns.timestamp]
        if is_text(dtype):
            return parsed(self.columns.timestamp)
        return (
            at.cast(pl.Int128) if isinstance(dtype, pl.UInt64) else at
        )  # with a signed number it would become a float

    def in_window(self, rows: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """The rows of the window; timestamps that are text have become instants."""
        at = self.comparable()
        if is_text(self.schema[self.columns.timestamp]):
            # A step of its own: in a filter, Polars would evaluate what the forms share once for each of them.
            rows = rows.with_columns(at.alias(self.columns.timestamp))
            at = pl.col(self.columns.timestamp)
        start, end = self._bound(window.start), self._bound(window.end)
        if not isinstance(start, float) and not isinstance(end, float):
            return rows.filter(at.is_between(start, end, closed="left"))  # in one step, which is faster than two
        # An infinite bound is one that the type cannot hold: all instants are on one side of it.
        after = pl.lit(start < 0) if isinstance(start, float) else at >= start
        return rows.filter(after & (pl.lit(end > 0) if isinstance(end, float) else at < end))

    def to_bounds(self, first: float | None, last: float | None) -> Bounds | None:
        """The bounds of timestamps, given as the numbers behind those of `comparable`; None if they are no instants."""
        if first is None or last is None:
            return NO_BOUNDS
        if not (math.isfinite(first) and math.isfinite(last)):
            return None
        dtype = self.schema[self.columns.timestamp]
        # A float is not exact to the microsecond.
        more = _INEXACT_MICROSECONDS if dtype.is_float() else 0
        return Bounds(self._to_microseconds(first) - more, self._to_microseconds(last) + more)

    def _to_microseconds(self, number: float) -> int:
        """Rounded down, which changes nothing for windows in whole microseconds."""
        dtype = self.schema[self.columns.timestamp]
        if is_text(dtype):
            return int(number)
        if isinstance(dtype, pl.Date):
            return int(number) * _SECONDS_PER_DAY * 1_000_000
        ticks = _TICKS[dtype.time_unit if isinstance(dtype, pl.Datetime) else str(self.columns.epoch)]
        microseconds = int(number * 1_000_000 // ticks)
        return max(NO_BOUNDS.last, min(microseconds, NO_BOUNDS.first))

    def _bound(self, at: datetime) -> pl.Expr | float:
        """`at` in the column's own type: a cast of the column would hide the row groups' statistics from the predicate.

        Rounded up to the column's unit, which is right for `>=` and `<` alike; infinite if the type ends before it.
        A column without a zone is taken as UTC.
        """
        microseconds, dtype = to_microseconds(at), self.schema[self.columns.timestamp]
        if is_text(dtype):
            dtype = pl.Datetime("us", "UTC")
        if isinstance(dtype, pl.Date):
            return pl.lit(-(-microseconds // (_SECONDS_PER_DAY * 1_000_000)), dtype=pl.Int32).cast(pl.Date)
        unit = dtype.time_unit if isinstance(dtype, pl.Datetime) else str(self.columns.epoch)
        if dtype.is_float():
            return pl.lit(microseconds * _TICKS[unit] / 1_000_000, dtype=pl.Float64)
        ticks = -(-microseconds * _TICKS[unit] // 1_000_000)
        if not -_INT64 < ticks < _INT64:
            return math.copysign(math.inf, ticks)
        held = pl.lit(ticks, dtype=pl.Int64)
        return held.cast(dtype) if isinstance(dtype, pl.Datetime) else held


def _wrong_type(path: str, column: str, found: pl.DataType, wanted: str) -> ColumnsError:
    return ColumnsError(f"column '{column}' of {path} is {found}, not {wanted}")


def _partition(path: str, key: str) -> str | None:
    """The value of a folder `key=value` of the path, the innermost if there are more."""
    for folder in reversed(path.split("/")[:-1]):
        name, equals, value = folder.partition("=")
        if equals and unquote(name) == key:
            return "" if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
    return None


def is_text(dtype: pl.DataType) -> bool:
    """Whether a column has text, or nothing but nulls."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def parsed(column: str) -> pl.Expr:
    """ISO 8601 in a column of text as instants; null for text that is none."""
    text = pl.col(column).cast(pl.String)
    text = text.str.replace(_TO_THE_MINUTE, "${1}:00${2}").str.replace(_WHOLE_HOURS, "${1}:00")
    days = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    instants = pl.coalesce(
        text.str.to_datetime(_WITH_OFFSET, time_unit="us", strict=False).cast(pl.Datetime("us", "UTC")),
        *(text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in _WITHOUT_OFFSET),
        days,
    )
    # Two digits would be a year of the first century, and so in no window.
    return pl.when(text.str.contains(_FOUR_DIGITS)).then(instants)
