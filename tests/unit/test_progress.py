"""The custom status: what it counts, and its estimate of the end."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from shared_code.contracts import MAX_CHUNKS
from shared_code.durable import Context
from shared_code.progress import Progress, Tally, count

START = datetime(2026, 3, 1, 10, tzinfo=timezone.utc)


class Clock:
    """A context that keeps the last custom status."""

    def __init__(self) -> None:
        self.current_utc_datetime = START
        self.status: Any = None

    def set_custom_status(self, status: Any) -> None:
        self.status = status

    def pass_seconds(self, seconds: float) -> None:
        self.current_utc_datetime += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def progress_of(clock: Clock, total: int) -> Progress:
    progress = Progress(cast(Context, clock), total)
    progress.begin()
    return progress


def test_it_begins_with_nothing_done_and_no_estimate(clock: Clock) -> None:
    progress_of(clock, 12)

    assert clock.status == {
        "phase": "processing",
        "chunks_done": 0,
        "chunks_failed": 0,
        "chunks_total": 12,
        "records": 0,
        "estimated_end": None,
    }


def test_the_estimate_assumes_that_the_others_take_as_long_as_those_so_far(clock: Clock) -> None:
    progress = progress_of(clock, 12)
    clock.pass_seconds(6)
    progress.add(Tally(chunks=3, failed=1, records=700))
    clock.pass_seconds(2)
    progress.add(Tally(chunks=1, records=50))

    assert clock.status == {
        "phase": "processing",
        "chunks_done": 4,
        "chunks_failed": 1,
        "chunks_total": 12,
        "records": 750,
        "estimated_end": "2026-03-01T10:00:24Z",
    }


def test_the_first_chunks_that_end_give_no_estimate_as_all_others_may_be_about_to_end(clock: Clock) -> None:
    progress = progress_of(clock, 12)
    clock.pass_seconds(8)
    progress.add(Tally(chunks=1))
    progress.add(Tally(chunks=1))

    assert (clock.status["chunks_done"], clock.status["estimated_end"]) == (2, None)


def test_the_estimate_at_the_end_is_the_end(clock: Clock) -> None:
    progress = progress_of(clock, 1)
    clock.pass_seconds(8)
    progress.add(Tally(chunks=1))
    progress.show("completed")

    assert (clock.status["phase"], clock.status["estimated_end"]) == ("completed", "2026-03-01T10:00:08Z")


def test_an_end_that_no_calendar_has_is_not_estimated(clock: Clock) -> None:
    progress = progress_of(clock, MAX_CHUNKS)
    progress.add(Tally(chunks=1))
    clock.pass_seconds(4 * 365 * 86_400)
    progress.add(Tally(chunks=1))

    assert clock.status["estimated_end"] is None


def test_it_is_as_short_for_ten_thousand_chunks_as_for_one(clock: Clock) -> None:
    progress = progress_of(clock, MAX_CHUNKS)
    clock.pass_seconds(0.5)
    progress.add(Tally(chunks=MAX_CHUNKS, failed=MAX_CHUNKS, records=10**15))

    assert len(json.dumps(clock.status)) < 250


@pytest.mark.parametrize(
    ("outcome", "chunks", "expected"),
    [
        ({"status": "success", "records": 7}, 1, Tally(chunks=1, records=7)),
        (Exception("boom"), 1, Tally(chunks=1, failed=1)),
        (Exception("terminated"), 100, Tally(chunks=100, failed=100)),
        (
            {
                "results": [
                    {"status": "success", "records": 7},
                    {"status": "failed"},
                    {"status": "success", "records": 2},
                ]
            },
            3,
            Tally(chunks=3, failed=1, records=9),
        ),
        ("of another app", 1, Tally(chunks=1)),
    ],
)
def test_an_outcome_counts_for_its_chunks(outcome: object, chunks: int, expected: Tally) -> None:
    assert count(outcome, chunks) == expected
