"""The memory of an event: the unit in which caches and messages in memory are limited."""

from __future__ import annotations

from sys import getsizeof

from durablehost.core.history import HistoryEvent

# An event without its texts, rounded up.
EVENT_BYTES = 1024


def event_bytes(event: HistoryEvent) -> int:
    """Estimates the memory of an event; its texts are counted exactly."""
    return EVENT_BYTES + sum(getsizeof(value) for value in vars(event).values() if isinstance(value, str))
