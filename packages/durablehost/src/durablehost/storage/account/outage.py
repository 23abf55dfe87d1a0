"""Tells once that a storage service cannot be reached, and once that it answers again."""

from __future__ import annotations

import logging
import time
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_log = logging.getLogger("Host.TaskHub")


class Outage:
    """Whether the service at this address is out of reach."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._began_at: float | None = None

    def begin(self, reason: str) -> None:
        if self._began_at is not None:
            return
        self._began_at = time.monotonic()
        is_emulator = urlsplit(self._endpoint).hostname in _LOOPBACK
        advice = " If its Azurite has ended, start it with `durablehost azurite start`." if is_emulator else ""
        _log.warning(
            "The storage at %s cannot be reached; all work waits for it: %s.%s", self._endpoint, reason, advice
        )

    def end(self) -> None:
        if self._began_at is None:
            return
        _log.warning(
            "The storage at %s answers again, after %.0f s.", self._endpoint, time.monotonic() - self._began_at
        )
        self._began_at = None
