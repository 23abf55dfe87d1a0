"""Half-open windows of time and how one is split into contiguous parts.

The rule of this file: all arithmetic is on integer microseconds, so the parts join to the whole, with no gap and no
overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared_code.instants import format_instant, from_microseconds, to_microseconds


@dataclass(frozen=True, kw_only=True)
class Window:
    """All instants from `start` up to but without `end`."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"

    @property
    def microseconds(self) -> int:
        return to_microseconds(self.end) - to_microseconds(self.start)

    def part(self, index: int, total: int) -> Window:
        """Part `index` (from 0) of `total`; any two parts differ by at most one microsecond in length."""
        first, length = to_microseconds(self.start), self.microseconds
        return Window(
            start=from_microseconds(first + index * length // total),
            end=from_microseconds(first + (index + 1) * length // total),
        )


def split(window: Window, total: int) -> list[Window]:
    """`total` contiguous windows that join to `window`, none of them empty.

    Raises:
        ValueError: fewer than one part, or more than the window has microseconds.
    """
    if not 1 <= total <= window.microseconds:
        raise ValueError(f"cannot split a window of {window.microseconds} microseconds into {total} parts")
    return [window.part(index, total) for index in range(total)]
