"""Decides when to give up work that keeps failing for an unforeseen reason.

Only errors that a repetition does not change count: not those of an unavailable storage, nor those of worker processes,
nor those of a machine that is short of memory or files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from durablehost.errors import PoisonMessage, StorageError, StorageRefused, WorkerError

# Deliveries in a row. They are 2, 4 and 8 seconds apart.
MAX_ROUNDS = 3

_MAX_REMEMBERED = 1000
_PASSING = (StorageError, WorkerError, OSError, MemoryError, asyncio.TimeoutError)


def is_unforeseen(error: Exception) -> bool:
    """True if the same work would fail in the same way again."""
    return isinstance(error, (StorageRefused, PoisonMessage)) or not isinstance(error, _PASSING)


class UnforeseenErrors:
    """The errors of work that has not succeeded since, by the ids of its messages."""

    def __init__(self) -> None:
        self._rounds: dict[str, tuple[int, Exception]] = {}

    def note(self, message_ids: Sequence[str], error: Exception) -> bool:
        """Counts one more failure; returns whether it was that of the last attempt."""
        for message_id in message_ids:
            rounds, _ = self._rounds.pop(message_id, (0, error))
            self._rounds[message_id] = (rounds + 1, error)
        while len(self._rounds) > max(_MAX_REMEMBERED, len(message_ids)):
            del self._rounds[next(iter(self._rounds))]
        return max((self._rounds[message_id][0] for message_id in message_ids), default=0) == MAX_ROUNDS

    def forget(self, message_ids: Iterable[str]) -> None:
        for message_id in message_ids:
            self._rounds.pop(message_id, None)

    def final_error(self, message_ids: Iterable[str]) -> Exception | None:
        """The latest error of work that has to be given up now; None if it may be tried again."""
        found = (self._rounds.get(message_id) for message_id in message_ids)
        return next((error for each in found if each for rounds, error in [each] if rounds >= MAX_ROUNDS), None)


def one_sentence(error: Exception) -> str:
    """The error, for a user who waits for the work."""
    text = " ".join(str(error).split())
    return f"durablehost could not carry it out ({type(error).__name__}: {text}); the log of the host has the details."
