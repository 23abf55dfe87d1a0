"""A wall clock that can be put forward and back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


class SteppedClock:
    """The time of this machine, with an offset in seconds."""

    def __init__(self, ahead_seconds: float = 0) -> None:
        self.ahead_seconds = ahead_seconds

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self.ahead_seconds)
