"""Literals of OData filters."""

from __future__ import annotations

from datetime import datetime, timezone

_FIRST_TIME = datetime(1601, 1, 1, tzinfo=timezone.utc)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted_time(at: datetime) -> str:
    """A time with the seven fraction digits that a real host sends; one that no table can hold becomes the first."""
    text = max(at, _FIRST_TIME).astimezone(timezone.utc).isoformat(timespec="microseconds")
    return f"datetime'{text.removesuffix('+00:00')}0Z'"
