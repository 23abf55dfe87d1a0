"""How much memory an event takes: what bounds the caches and the messages in memory counts in this."""

from __future__ import annotations

from sys import getsizeof

from devhost.core.history import HistoryEvent

# An event without its texts, rounded up.
EVENT_BYTES = 1024


def event_bytes(event: HistoryEvent) -> int:
    """Estimates the memory of an event; its texts are counted exactly."""
    return EVENT_BYTES + sum(getsizeof(value) for value in vars(event).values() if isinstance(value, str))
