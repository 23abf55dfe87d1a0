"""Which functions run apart from the others for a while, because they have ended or blocked a worker process.

Calls that were lost together may all be innocent but one. Their functions are doubted until a process ends with only
one call in it: its function was the cause.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from devhost.app.invocation import Invocation

SECONDS = 60.0
# Calls that nobody repeats, such as HTTP, cannot clear their function soon; it is spared the first time.
_MOST_SPARED = 1


class Suspicion:
    """Remembers functions by name; forgets them after `SECONDS` without another incident."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guilty_until: dict[str, float] = {}
        self._doubted_until: dict[str, float] = {}
        # Of functions whose calls nobody repeats: the crashes since their last success.
        self._spared: Counter[str] = Counter()

    def crashed(self, lost: Sequence[Invocation]) -> None:
        """Takes in the calls that were in a process when it ended."""
        until = self._clock() + SECONDS
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
        """Takes in that a call occupies its process."""
        self._guilty_until[name] = self._clock() + SECONDS

    def succeeded(self, name: str) -> None:
        """Takes in that a call came to its end."""
        self._spared.pop(name, None)

    def is_suspect(self, name: str) -> bool:
        now = self._clock()
        return any(now < until.get(name, now) for until in (self._guilty_until, self._doubted_until))
