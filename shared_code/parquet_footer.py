"""Reads from when to when the timestamps of a Parquet file are, from the statistics in its footer.

Polars does not show them. The footer is one structure in Thrift's compact protocol:
https://parquet.apache.org/docs/file-format/metadata. The rule of this file: what is not as expected is no bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from shared_code.columns import NO_BOUNDS, Bounds

END: Final = b"PAR1"
# The end of a file: the footer's length in four bytes, and `END`.
_END_LENGTH: Final = 8
# Most footers are shorter.
_FIRST_READ: Final = 65_536
# In bytes. A longer one would take seconds and hundreds of megabytes here, and a damaged file may give any length.
_LONGEST: Final = 2**22
_INT32, _INT64 = 1, 2
_DATE, _MILLISECONDS, _MICROSECONDS = 6, 9, 10  # the older annotations of columns
_DAY: Final = 86_400_000_000

# Returns so many of the last bytes of a file.
ReadEnd = Callable[[int], bytes]


def read_end(read: ReadEnd, size: int) -> bytes | None:
    """The end of a Parquet file, with all of its footer; None if the footer is too long to be looked into here.

    Raises:
        ValueError: it does not end as a Parquet file does.
    """
    end = read(min(size, _FIRST_READ))
    length = int.from_bytes(end[-_END_LENGTH : -len(END)], "little") + _END_LENGTH
    if not end.endswith(END) or length > size:
        raise ValueError("it does not end as a Parquet file does; it is truncated, encrypted, or none")
    if length > _LONGEST:
        return None
    return end if length <= len(end) else read(length)


def find_bounds(end: bytes, column: str) -> Bounds | None:
    """The bounds of a column of timestamps or dates, by the end of a file; None if the statistics do not tell."""
    length = int.from_bytes(end[-_END_LENGTH : -len(END)], "little")
    try:
        return _bounds(_Reader(end[-_END_LENGTH - length : -_END_LENGTH]).structure(), column)
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError):
        return None


def _bounds(footer: dict[int, Any], column: str) -> Bounds | None:
    (element,) = (each for each in footer[2][1:] if each.get(4) == column.encode() and not each.get(5))
    to_microseconds = _unit(element)
    bounds = NO_BOUNDS
    for group in footer[4]:
        if not group[3]:
            continue  # no rows
        (chunk,) = (each[3] for each in group[1] if each[3][3] == [column.encode()])
        statistics = chunk[12]
        if 5 not in statistics and statistics.get(3) == group[3]:
            continue  # nothing but nulls
        first, last = (int.from_bytes(statistics[field], "little", signed=True) for field in (6, 5))
        bounds = Bounds(min(bounds.first, to_microseconds(first)), max(bounds.last, to_microseconds(last)))
    return bounds


def _unit(element: dict[int, Any]) -> Callable[[int], int]:
    """Converts the integers of a column to microseconds, rounded down.

    Raises:
        ValueError: it has no timestamps or dates.
    """
    logical, kind = element.get(10, {}), element.get(6)
    unit = next(iter(logical[8][2]), None) if 8 in logical else {_MILLISECONDS: 1, _MICROSECONDS: 2}.get(kind or 0)
    if element[1] == _INT64 and unit in {1, 2, 3}:
        return lambda value: value * 1_000_000 // 1_000**unit
    if element[1] == _INT32 and (6 in logical or kind == _DATE):
        return lambda value: value * _DAY
    raise ValueError


class _Reader:
    """Values in Thrift's compact protocol; a structure is a mapping from the numbers of its fields."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def structure(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._integer()
            fields[number] = self._value(header & 15)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in {1, 2}:
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in {4, 5, 6}:
            return self._integer()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._unsigned())
        if kind in {9, 10}:
            header = self._byte()
            count = header >> 4 if header >> 4 < 15 else self._unsigned()
            # In a list, a boolean takes a byte.
            return [self._byte() if header & 15 in {1, 2} else self._value(header & 15) for _ in range(count)]
        if kind == 12:
            return self.structure()
        raise ValueError

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._content):
            raise ValueError
        return self._content[self._at - count : self._at]

    def _unsigned(self) -> int:
        value = 0
        # An integer has at most 64 bits.
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError

    def _integer(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
