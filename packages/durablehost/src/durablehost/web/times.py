"""Reads times in queries and in paths, in the forms that .NET reads and people write."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from durablehost.core.history_json import parse_moment

# With slashes, months and days of one digit, or without a day.
_LOOSE_DATE = re.compile(r"(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2}))?(?!\d)(.*)", re.ASCII | re.DOTALL)
_FORMS = (
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%d %B %Y",
    "%B %d, %Y",
)


def read_time(text: str) -> datetime | None:
    """The time in UTC, unless it has an offset; None if the text is no time."""
    return parse_moment(text) or _read_loose(text) or next(filter(None, (_read(text, form) for form in _FORMS)), None)


def _read_loose(text: str) -> datetime | None:
    if not (match := _LOOSE_DATE.fullmatch(text)):
        return None
    year, month, day, rest = match.groups()
    if rest and not day:
        return None
    return parse_moment(f"{year}-{month:0>2}-{day or '1':0>2}{rest}")


def _read(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
