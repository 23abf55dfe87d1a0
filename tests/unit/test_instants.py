"""ISO-8601 in and out, the same on every Python version."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared_code.instants import format_instant, from_microseconds, parse_instant, to_microseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-01-01T00:00:00Z", "2013-01-01T00:00:00Z"),
        ("2013-01-01T00:00Z", "2013-01-01T00:00:00Z"),
        ("2013-01-01t00:00:00z", "2013-01-01T00:00:00Z"),
        ("2013-01-01T02:00:00+02:00", "2013-01-01T00:00:00Z"),
        ("2013-01-01T02:00:00+0200", "2013-01-01T00:00:00Z"),
        ("2013-01-01T02:00:00+02", "2013-01-01T00:00:00Z"),
        ("2012-12-31T18:30:00-05:30", "2013-01-01T00:00:00Z"),
        ("2013-01-01T00:00:00.5Z", "2013-01-01T00:00:00.500000Z"),
        ("2013-01-01T00:00:00.000001Z", "2013-01-01T00:00:00.000001Z"),
        ("2013-01-01T00:00:00.1234560Z", "2013-01-01T00:00:00.123456Z"),
        ("2000-02-29T23:59:59.999999Z", "2000-02-29T23:59:59.999999Z"),
    ],
)
def test_iso_8601_with_an_offset_is_the_instant_in_utc(text: str, expected: str) -> None:
    assert format_instant(parse_instant(text)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2013-01-01T00:00:00", "offset"),
        ("2013-01-01", "ISO-8601"),
        ("2013-01-01 00:00:00Z", "ISO-8601"),
        ("yesterday", "ISO-8601"),
        ("", "ISO-8601"),
        ("٢٠١٣-01-01T00:00:00Z", "ISO-8601"),
        ("2013-01-01T00:00:00Z\n", "ISO-8601"),
        ("2013-02-29T00:00:00Z", "calendar"),
        ("2013-13-01T00:00:00Z", "calendar"),
        ("2013-01-01T24:00:00Z", "00:00:00 of the next day"),
        ("2016-12-31T23:59:60Z", "leap seconds"),
        ("2013-01-01T00:00:00+24:00", "offset from -23:59 to"),
        ("2013-01-01T00:00:00-05:60", "offset from -23:59 to"),
        ("0000-01-01T00:00:00Z", "calendar"),
        ("0001-01-01T00:00:00+00:01", "calendar"),
        ("9999-12-31T23:59:59-00:01", "calendar"),
        ("2013-01-01T00:00:00.1234567Z", "microsecond"),
    ],
)
def test_a_text_that_is_not_an_exact_instant_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_instant(text)


def test_microseconds_are_exact_over_the_whole_calendar() -> None:
    last = datetime.max.replace(tzinfo=timezone.utc)

    assert from_microseconds(to_microseconds(last)) == last
    assert to_microseconds(last) - to_microseconds(last - timedelta(microseconds=1)) == 1
