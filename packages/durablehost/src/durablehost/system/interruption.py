"""Ctrl+C at any moment: no traceback, and no process that is left because its start was interrupted.

Standard library only, and cheap to import: `__main__` modules use it before they import anything else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def end_at_once_on_ctrl_c() -> None:
    """From now on, Ctrl+C ends the program with exit code 130 and without any clean-up.

    For the time before a program has started anything, such as that of its imports: KeyboardInterrupt would be a
    traceback there. Ctrl+C that `dev.py` has held back for a program that it starts takes effect here.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def interruptible() -> Iterator[None]:
    """Has Ctrl+C raise KeyboardInterrupt inside the block, so that clean-ups run."""
    before = signal.getsignal(signal.SIGINT)
    if before is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delays the handlers of signals that would end the program until the end of the block.

    For starting a process: an exception between its start and the moment at which the caller knows it would leave it
    behind. A second signal does not wait. In other threads no handler runs anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    delayed: list[int] = []

    def delay(number: int, frame: FrameType | None) -> None:
        delayed.append(number)
        if len(delayed) > 1:
            handlers[number](number, frame)

    ends = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
    found = {int(each): signal.getsignal(each) for each in ends}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, delay)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is delay:
                signal.signal(number, handler)
        for number in delayed[:1]:
            handlers[number](number, None)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)
