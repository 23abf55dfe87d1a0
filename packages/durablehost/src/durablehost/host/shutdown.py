"""Handles Ctrl+C and SIGTERM: the first asks for an orderly end, the second for an immediate one.

A closed terminal asks for an orderly end, however often: the shell and the kernel both send SIGHUP then. A SIGHUP that
is ignored at the start, as by `nohup`, stays ignored.
Uses the `signal` module, because event loops on Windows have none of their own.
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
_HANG_UP = "SIGHUP"


class ShutdownSignal:
    """The state of the shutdown. `scope` is cancelled when the host has to end at once.

    While the host starts there is nothing to end in good order, so the first signal cancels `scope`.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.scope = anyio.CancelScope()
        self._is_started = False
        self._is_insisted = False

    def has_started(self) -> None:
        """Makes the first signal ask for an orderly end."""
        self._is_started = True

    def request(self) -> None:
        if self._is_insisted or not self._is_started:
            self.scope.cancel()
        self._is_insisted = True
        self.requested.set()

    def hang_up(self) -> None:
        """Asks for an orderly end because the terminal is gone; never for an immediate one."""
        if not self._is_started:
            self.scope.cancel()
        self.requested.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Calls `request` or `hang_up` for each signal that arrives inside the block, in the running event loop."""
        loop = asyncio.get_running_loop()

        def receive(number: int, frame: FrameType | None) -> None:
            is_hang_up = signal.Signals(number).name == _HANG_UP
            loop.call_soon_threadsafe(self.hang_up if is_hang_up else self.request)

        with _handling(receive):
            yield


@contextmanager
def _handling(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    numbers = [each for each in numbers if each.name != _HANG_UP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
