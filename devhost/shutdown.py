"""Ctrl+C and SIGTERM: the first asks for an orderly end, the second for an end at once.

Signal handlers of the `signal` module, because event loops on Windows have none of their own.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio

# Windows has SIGBREAK, others SIGHUP: the terminal was closed.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Shutdown:
    """What was asked for so far. `scope` holds what is given up when the host has to end at once.

    While the host starts there is nothing to end in good order, so the first signal cancels `scope`.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.scope = anyio.CancelScope()
        self._is_started = False

    def has_started(self) -> None:
        """From now on the first signal asks for an orderly end."""
        self._is_started = True

    def request(self) -> None:
        if self.requested.is_set() or not self._is_started:
            self.scope.cancel()
        self.requested.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Calls `request` for each signal that arrives inside the block, in the running event loop."""
        loop = asyncio.get_running_loop()

        def receive(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.request)

        with _handling(receive):
            yield


@contextmanager
def _handling(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
