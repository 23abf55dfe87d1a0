"""Splitting a window by example; the laws are in tests/property/app."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared_code.instants import format_instant, parse_instant
from shared_code.windows import Window, split

DAY = Window(start=parse_instant("2025-06-17T00:00:00Z"), end=parse_instant("2025-06-18T00:00:00Z"))


def test_a_window_that_divides_evenly_gives_equal_parts() -> None:
    assert [format_instant(part.start) for part in split(DAY, 3)] == [
        "2025-06-17T00:00:00Z",
        "2025-06-17T08:00:00Z",
        "2025-06-17T16:00:00Z",
    ]


def test_a_window_in_one_part_is_the_whole_window() -> None:
    assert split(DAY, 1) == [DAY]


def test_a_window_is_written_as_a_half_open_interval() -> None:
    assert str(DAY) == "[2025-06-17T00:00:00Z, 2025-06-18T00:00:00Z)"


def test_a_part_computed_alone_equals_the_part_of_the_split() -> None:
    assert DAY.part(6, 7) == split(DAY, 7)[6]


def test_a_window_splits_down_to_single_microseconds() -> None:
    tiny = Window(start=DAY.start, end=DAY.start + timedelta(microseconds=3))

    assert [part.microseconds for part in split(tiny, 3)] == [1, 1, 1]


@pytest.mark.parametrize("total", [0, -1, 4])
def test_parts_that_would_be_empty_are_refused(total: int) -> None:
    with pytest.raises(ValueError, match="cannot split"):
        split(Window(start=DAY.start, end=DAY.start + timedelta(microseconds=3)), total)
