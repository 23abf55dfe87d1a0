"""Times, durations, lists and errors in the words of an explanation."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from durablehost.engine.wording import duration, failure_line, listed, moment_and_distance, ordinal, shortened

NOW = datetime(2026, 3, 1, 12, 0, 27, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (4.2, "4 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (3 * 86400, "3 d")],
)
def test_a_duration_has_the_largest_unit_of_which_there_are_two(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (4, "12:00:31 UTC (in 4 s)"),
        (-27, "12:00:00 UTC (27 s ago)"),
        (86400, "2026-03-02 12:00:27 UTC (in 24 h)"),
    ],
)
def test_a_time_has_its_distance_and_a_date_if_it_is_not_today(seconds: int, words: str) -> None:
    assert moment_and_distance(NOW + timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("items", "words"),
    [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c"), ("abcdefg", "a, b, c and 4 more")],
)
def test_a_list_names_the_first_three(items: str, words: str) -> None:
    assert listed(list(items)) == words


def test_ordinals_have_words_up_to_ten() -> None:
    assert [ordinal(number) for number in (1, 3, 10, 11)] == ["first", "third", "tenth", "11th"]


def test_a_long_text_is_cut_and_on_one_line() -> None:
    assert shortened("a\n b") == "a b"
    assert shortened("x" * 300) == "x" * 200 + " ..."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Orchestrator function 'x' failed: broken\n more", "Orchestrator function 'x' failed: broken"),
        (
            "Orchestrator function 'x' failed: One or more errors occurred. (Result: Failure\n"
            "Exception: KeyError: 'a'\nStack: ...",
            "Orchestrator function 'x' failed: KeyError: 'a'",
        ),
        ("One or more errors occurred. (Result: Failure", "One or more errors occurred. (Result: Failure"),
        ("\n", "no text"),
    ],
)
def test_the_line_of_a_failure_names_the_error(text: str, line: str) -> None:
    assert failure_line(text) == line
