"""Laws of windows: parts join to the whole, and no result depends on the split."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from shared_code.contracts import ChunkInput
from shared_code.instants import format_instant, parse_instant
from shared_code.processing import process_chunk
from shared_code.readings import open_source
from shared_code.results import SeriesStatistics
from shared_code.synthetic import scan_signal
from shared_code.windows import Window, split

pytest.importorskip("hypothesis")

from hypothesis import assume, given, settings
from hypothesis import strategies as st

INSTANTS = st.datetimes(timezones=st.just(timezone.utc))
MORNING = datetime(2025, 6, 17, 10, tzinfo=timezone.utc)


@st.composite
def windows(draw: Any) -> Window:
    first, second = sorted([draw(INSTANTS), draw(INSTANTS)])
    assume(first < second)
    return Window(start=first, end=second)


@given(windows(), st.integers(1, 500))
def test_the_parts_of_a_window_join_to_the_window(window: Window, total: int) -> None:
    assume(total <= window.microseconds)
    parts = split(window, total)

    assert len(parts) == total
    assert (parts[0].start, parts[-1].end) == (window.start, window.end)
    assert all(before.end == after.start for before, after in pairwise(parts))


@given(windows(), st.integers(1, 500))
def test_the_parts_of_a_window_differ_by_at_most_a_microsecond(window: Window, total: int) -> None:
    assume(total <= window.microseconds)
    sizes = {part.microseconds for part in split(window, total)}

    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@given(INSTANTS)
def test_an_instant_survives_its_text(at: datetime) -> None:
    assert parse_instant(format_instant(at)) == at


@given(st.integers(1, 5_000_000), st.integers(1, 40))
def test_the_synthetic_signal_does_not_depend_on_the_split(microseconds: int, total: int) -> None:
    window = Window(start=MORNING, end=MORNING + timedelta(microseconds=microseconds))
    assume(total <= window.microseconds)

    parts = [row for part in split(window, total) for row in rows(part)]

    assert sorted(parts) == sorted(rows(window))


def rows(window: Window) -> list[tuple[Any, ...]]:
    return [row for frame in scan_signal(window) for row in frame.collect().rows()]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3_000), st.integers(1, 12))
def test_processing_a_window_in_chunks_reads_every_record_once(seconds: int, total: int) -> None:
    window = Window(start=MORNING, end=MORNING + timedelta(seconds=seconds))

    chunks = [process(part) for part in split(window, total)]

    assert sum(records for records, _ in chunks) == process(window)[0] == 3 * seconds


def process(window: Window) -> tuple[int, dict[str, SeriesStatistics]]:
    chunk = ChunkInput(chunk_id=0, start=window.start, end=window.end, total_chunks=1, time=MORNING)
    result = process_chunk(chunk, open_source({}))
    return result.records, result.statistics
