"""How a program that has started others is asked to end: once, and then it is left to end them undisturbed."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


def end_on_signals() -> None:
    """From here on Ctrl+C, or a signal that asks to end, is a KeyboardInterrupt, and asking again does nothing."""
    for each in _end_signals():
        signal.signal(each, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    for each in _end_signals():
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_signals() -> list[signal.Signals]:
    """Ctrl+C, a request to end, and the terminal's end where there is a signal for it."""
    return [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
