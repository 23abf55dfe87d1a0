"""Decides which functions run apart from the others for a while, because they have ended or blocked a worker process.

Of the calls that are lost together, one is the cause. Their functions are doubted until a process ends with only one
call in it: its function was the cause.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from durablehost.app.invocation import Invocation

SECONDS = 60.0
# How long after a crash calls are kept apart from those that would be lost with them.
_CAUTION_SECONDS = 600.0
# Within this time, only the first kill from outside is blamed on no call.
_KILL_SECONDS = 60.0
_MOST_EXCUSED = 10_000
# Calls that nobody repeats, such as HTTP, do not soon clear their function, so it is not doubted the first time.
_MOST_SPARED = 1


class Suspicion:
    """Remembers functions by name; forgets them after `SECONDS` without another incident."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guilty_until: dict[str, float] = {}
        self._doubted_until: dict[str, float] = {}
        # The crashes of functions whose calls nobody repeats, since their last success.
        self._spared: Counter[str] = Counter()
        # Work that was in a process when a signal from outside ended it, the oldest first.
        self._excused: dict[str, None] = {}
        self._last_crash = self._last_kill = float("-inf")

    @property
    def is_cautious(self) -> bool:
        """Whether a call has ended a process lately."""
        return self._clock() - self._last_crash < _CAUTION_SECONDS

    def excuses_kill(self, lost: Sequence[Invocation]) -> bool:
        """Whether a signal from outside, which has just ended a process, is blamed on none of the calls in it.

        It is blamed if one of them was excused before: a call that uses up all memory may take minutes each time.
        """
        now = self._clock()
        works = [call.work for call in lost if call.work]
        is_excused = now - self._last_kill > _KILL_SECONDS and not any(work in self._excused for work in works)
        if is_excused:
            self._last_kill = now
            self._excused.update(dict.fromkeys(works))
            for work in list(self._excused)[:-_MOST_EXCUSED]:
                del self._excused[work]
        return is_excused

    def crashed(self, lost: Sequence[Invocation]) -> None:
        """Notes the calls that were in a process when it ended."""
        self._last_crash = self._clock()
        until = self._last_crash + SECONDS
        if len(lost) == 1:
            self._guilty_until[lost[0].function_name] = until
            self._doubted_until.clear()
            return
        for call in lost:
            if not call.work:
                self._spared[call.function_name] += 1
            if call.work or self._spared[call.function_name] > _MOST_SPARED:
                self._doubted_until[call.function_name] = until

    def blocked(self, name: str) -> None:
        """Notes that a call occupies its process."""
        self._guilty_until[name] = self._clock() + SECONDS

    def succeeded(self, name: str) -> None:
        """Notes that a call has ended and its process has not."""
        self._spared.pop(name, None)

    def is_suspect(self, name: str) -> bool:
        now = self._clock()
        return any(now < until.get(name, now) for until in (self._guilty_until, self._doubted_until))
