"""Chooses the process for a call that was in a process when it ended.

The call gets an empty process if possible, for itself for a time that grows with its crashes. If no more processes are
allowed, it waits for a while before it shares one. So each crash has a single suspect in the end, and long calls do not
wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from durablehost.worker.roster import Member, Role, Roster

# How long a call that may have ended one process has the next one for itself; by the factor longer after each crash.
_ALONE_SECONDS = 0.5
_ALONE_FACTOR = 4
_MOST_ALONE_SECONDS = 300.0
_MOST_PATIENCE_SECONDS = 10.0
_MOST_PROCESSES = 3
# How often to search again: times pass without a notification.
SEARCH_SECONDS = _ALONE_SECONDS / 2


class QuarantineSearch:
    """The search for one call, which waits from now on; `begin` starts another process."""

    def __init__(self, roster: Roster, crashes: int, begin: Callable[[], None]) -> None:
        self._roster = roster
        self._begin = begin
        self._alone_seconds = min(_ALONE_SECONDS * _ALONE_FACTOR ** (crashes - 1), _MOST_ALONE_SECONDS)
        self._patience_ends = time.monotonic() + min(self._alone_seconds, _MOST_PATIENCE_SECONDS)

    def find(self) -> Member | None:
        """The process for the call; None if it has to wait."""
        now = time.monotonic()
        ready = self._roster.ready(Role.QUARANTINE)
        free = [each for each in ready if not each.calls or each.alone_until <= now]
        found = min(free, key=lambda each: each.calls, default=None)
        if found is None or found.calls:
            if len(ready) < _MOST_PROCESSES:
                # Calls that end soon need no other process; and what other calls wait for is started first.
                if len(free) == len(ready) and not self._roster.starting.total():
                    self._begin()
                return None
            if found is None or now < self._patience_ends:
                return None
        found.alone_until = now + self._alone_seconds
        return found
