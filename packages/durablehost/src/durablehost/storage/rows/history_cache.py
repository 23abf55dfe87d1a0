"""Caches histories that this host has just written, so that the next episode need not read them again.

An entry may be out of date: if another host has written since, the ETag of the sentinel makes the checkpoint fail.
Serves the purpose of extended sessions in DurableTask.AzureStorage.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from durablehost.storage.rows.history_table import History
from durablehost.storage.sizes import event_bytes

MAX_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class _Entry:
    history: History
    size: int


class HistoryCache:
    """Drops the least recently used histories when all of them use more than `max_bytes`."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0

    def get(self, instance_id: str) -> History | None:
        entry = self._entries.get(instance_id)
        if entry is None:
            return None
        self._entries.move_to_end(instance_id)
        return entry.history

    def put(self, instance_id: str, history: History) -> None:
        size = self._size_of(history, self._entries.get(instance_id))
        self.drop(instance_id)
        self._entries[instance_id] = _Entry(history, size)
        self._size += size
        while self._size > self._max_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, instance_id: str) -> None:
        dropped = self._entries.pop(instance_id, None)
        if dropped is not None:
            self._size -= dropped.size

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0

    def _size_of(self, history: History, known: _Entry | None) -> int:
        """The size of a history; events that are in the `known` entry are not measured again."""
        events, first, size = history.events, 0, 0
        if known is not None and known.history.events:
            last = len(known.history.events) - 1
            # A history is append-only, so the events before are the same, too.
            if last < len(events) and events[last] is known.history.events[last]:
                first, size = last + 1, known.size
        return size + sum(event_bytes(event) for event in events[first:])
