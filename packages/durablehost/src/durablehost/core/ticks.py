"""Times as .NET counts them: 100-nanosecond ticks since the year 1.

Requests to entities are ordered by times that real hosts write with seven digits; cut to microseconds, two of them
could become equal.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from durablehost.core.history_json import parse_time

NO_TIME = 0
# The earliest time that a table accepts: earlier ones are stored as this one.
EARLIEST_TIME = datetime(1601, 1, 1, tzinfo=timezone.utc)

_PER_SECOND = 10_000_000
_FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)


def ticks_of(at: datetime) -> int:
    since = at - _FIRST
    return (since.days * 86_400 + since.seconds) * _PER_SECOND + since.microseconds * 10


def ticks_of_seconds(seconds: float) -> int:
    return int(seconds * _PER_SECOND)


def ticks_from_text(text: str | None) -> int:
    """The reverse of `ticks_to_text`; None and the empty text are `NO_TIME`.

    Raises:
        ValueError: the text is not a time.
    """
    if not text:
        return NO_TIME
    fraction = text.partition(".")[2].rstrip("Z").partition("+")[0]
    return ticks_of(parse_time(text)) + int(fraction.ljust(7, "0")[6:7] or 0)


def ticks_to_text(ticks: int) -> str:
    """As Json.NET writes a time in UTC, without trailing zeros. Tick 0 has no `Z`."""
    text = ticks_to_round_trip_text(ticks)[: -len("Z")].rstrip("0").rstrip(".")
    return f"{text}Z" if ticks else text


def ticks_to_round_trip_text(ticks: int) -> str:
    """As .NET's format "o" writes a time in UTC: always with seven digits."""
    seconds, rest = divmod(ticks, _PER_SECOND)
    at = _FIRST + timedelta(seconds=seconds)
    return f"{at.year:04}-{at.strftime('%m-%dT%H:%M:%S')}.{rest:07}Z"
