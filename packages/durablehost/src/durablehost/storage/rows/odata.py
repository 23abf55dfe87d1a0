"""Literals of OData filters."""

from __future__ import annotations

from datetime import datetime, timezone

from durablehost.core.ticks import EARLIEST_TIME


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted_time(at: datetime) -> str:
    """A time with the seven fraction digits that a real host sends, not before the earliest that a table can store."""
    text = max(at, EARLIEST_TIME).astimezone(timezone.utc).isoformat(timespec="microseconds")
    return f"datetime'{text.removesuffix('+00:00')}0Z'"
