"""Literals of OData filters."""

from __future__ import annotations

from datetime import datetime, timezone


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted_time(at: datetime) -> str:
    """With the seven fraction digits that a real host sends."""
    return f"datetime'{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}0Z'"
