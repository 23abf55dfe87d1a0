"""Points in time as the app writes them: ISO-8601 text outside, aware UTC datetimes inside, exact to the microsecond.

Nothing here rounds: what a datetime cannot hold is refused. `datetime.fromisoformat` is not used because Python 3.10's
knows neither `Z` nor short fractions.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_FORM: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt](?P<clock>\d\d:\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r"(?P<offset>[Zz]|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?",
    re.ASCII,
)


def parse_instant(text: str) -> datetime:
    """The aware UTC datetime that `text` names.

    Raises:
        ValueError: not ISO-8601, without an offset, finer than a microsecond, or outside years 1 to 9999 in UTC.
    """
    parts = _FORM.fullmatch(text)
    if parts is None:
        raise ValueError("is not an ISO-8601 date and time, such as 2013-01-01T00:00:00Z")
    if parts["offset"] is None:
        raise ValueError("needs a UTC offset or Z, such as 2013-01-01T00:00:00Z")
    fraction = (parts["fraction"] or "").rstrip("0")
    if len(fraction) > 6:
        raise ValueError("is finer than a microsecond")
    if parts["clock"].startswith("24") or parts["second"] == "60":
        raise ValueError(
            "must be a time from 00:00:00 to 23:59:59; write 24:00:00 as 00:00:00 of the next day, and leap seconds as"
            " the second after them"
        )
    offset = _offset(parts)
    try:
        local = datetime.strptime(f"{parts['date']} {parts['clock']}", "%Y-%m-%d %H:%M")  # noqa: DTZ007
        local = local.replace(second=int(parts["second"] or 0), microsecond=int(fraction.ljust(6, "0")))
        return (local - offset).replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError("is not a date and time of the calendar between the years 1 and 9999") from None


def _offset(parts: re.Match[str]) -> timedelta:
    hours, minutes = int(parts["hours"] or 0), int(parts["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("must have a UTC offset from -23:59 to +23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if parts["sign"] == "-" else offset


def format_instant(at: datetime) -> str:
    """ISO-8601 with `Z`; a fraction only if there is one. `parse_instant` is the inverse."""
    return at.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def to_microseconds(at: datetime) -> int:
    """Microseconds since 1970, exactly; `datetime.timestamp()` is a float and not exact."""
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
