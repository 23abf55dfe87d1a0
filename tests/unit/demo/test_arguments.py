"""The arguments of `dev.py demo`, and the one line for wrong ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from demo.arguments import parse_arguments, to_iso


def test_without_arguments_the_first_quarter_is_asked_for_in_12_chunks() -> None:
    assert parse_arguments([]).request() == {
        "start": "2013-01-01T00:00:00Z",
        "end": "2013-04-01T00:00:00Z",
        "total_chunks": 12,
    }


def test_times_with_an_offset_keep_their_moment() -> None:
    arguments = parse_arguments(["--start", "2013-02-01T06:30:00+01:00", "--end", "2013-02-02T00:00:00Z"])

    assert arguments.start == datetime(2013, 2, 1, 5, 30, tzinfo=timezone.utc)
    assert arguments.end - arguments.start == timedelta(hours=18, minutes=30)


def test_a_moment_is_written_with_the_shortest_offset() -> None:
    assert to_iso(datetime(2013, 1, 1, tzinfo=timezone.utc)) == "2013-01-01T00:00:00Z"
    assert to_iso(datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2013-01-01T00:00:00+02:00"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--chunks", "0"], "'0' is not a whole number from 1 to 10000"),
        (["--chunks", "10001"], "'10001' is not a whole number"),
        (["--chunks", "1.5"], "'1.5' is not a whole number"),
        (["--chunks", "²"], "is not a whole number"),
        (["--start", "yesterday"], "'yesterday' is neither a date nor an ISO 8601 time"),
        (["--end", "2013-04-01T00:00:00"], "needs a UTC offset or Z"),
        (["--end", "2013-04-01 00:00:00"], "needs a UTC offset or Z"),
        (["--start", "2013-04-01"], "must be before --end"),
        (["--chunk-size", "3"], "unrecognized arguments"),
        (["--chunks"], "expected one argument"),
    ],
)
def test_a_wrong_argument_ends_with_one_line_and_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert told in said
    assert said.count("\n") == 1
