"""Keeps loops running after errors, with few log lines and growing back-offs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

FIRST_BACK_OFF_SECONDS = 0.1
MAX_BACK_OFF_SECONDS = 10.0
_DOUBLINGS = 10
_REMEMBERED = 1000


def back_off_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    # Bounded before it is multiplied: an outage of hours has more failures than a float has powers of two.
    return min(FIRST_BACK_OFF_SECONDS * 2.0 ** min(failures, _DOUBLINGS), MAX_BACK_OFF_SECONDS)


def is_worth_a_line(count: int) -> bool:
    """Whether the failure with this number in a row is logged: the 1st, 2nd, 4th, 8th and so on."""
    return count & (count - 1) == 0


class Counts:
    """Counts something for each of many subjects; the subjects that were counted longest ago are forgotten."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._counts: OrderedDict[object, int] = OrderedDict()

    def add(self, subject: object) -> int:
        """Counts once more; returns the new count."""
        count = self._counts.pop(subject, 0) + 1
        self._counts[subject] = count
        if len(self._counts) > self._remembered:
            self._counts.popitem(last=False)
        return count

    def forget(self, subject: object) -> None:
        self._counts.pop(subject, None)


async def keep_running(loop: Callable[[], Awaitable[None]], name: str, log: logging.Logger) -> None:
    """Runs a loop until it returns or is cancelled; one that raises is started again after a growing back-off."""
    failures = 0
    while True:
        began_at = time.monotonic()
        try:
            await loop()
            return
        except Exception as error:
            failures = 1 if time.monotonic() - began_at > 2 * MAX_BACK_OFF_SECONDS else failures + 1
            if is_worth_a_line(failures):
                log.exception("'%s' failed (time %d in a row) and is started again: %r", name, failures, error)
        await asyncio.sleep(back_off_seconds(failures))
