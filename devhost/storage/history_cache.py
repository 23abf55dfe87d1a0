"""Histories that this host has just written, kept so that the next episode need not read them again.

What is kept is only a guess: a checkpoint on it fails by its sentinel's ETag once another host has written. Mirrors
what extended sessions save in DurableTask.AzureStorage.
"""

from __future__ import annotations

from collections import OrderedDict

from devhost.storage.history_table import History

MAX_EVENTS = 50_000


class HistoryCache:
    """The least recently used histories go first once there are too many events."""

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self._histories: OrderedDict[str, History] = OrderedDict()
        self._event_count = 0

    def get(self, instance_id: str) -> History | None:
        history = self._histories.get(instance_id)
        if history is not None:
            self._histories.move_to_end(instance_id)
        return history

    def put(self, instance_id: str, history: History) -> None:
        self.drop(instance_id)
        self._histories[instance_id] = history
        self._event_count += len(history.events)
        while self._event_count > self._max_events:
            self.drop(next(iter(self._histories)))

    def drop(self, instance_id: str) -> None:
        dropped = self._histories.pop(instance_id, None)
        if dropped is not None:
            self._event_count -= len(dropped.events)

    def clear(self) -> None:
        self._histories.clear()
        self._event_count = 0
