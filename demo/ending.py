"""Ends a program that has started others at the first signal; it ignores further ones while it ends them.

What is ignored at the start, such as a closed terminal under `nohup`, stays ignored.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from types import FrameType
from typing import NoReturn, TextIO, cast

from durablehost.system.background_stream import BackgroundStream
from durablehost.system.interruption import INTERRUPTED
from durablehost.system.standard_streams import finish_output, open_closed_streams


def run_program(main: Callable[[list[str]], int]) -> NoReturn:
    """Runs a program that ends by its signals alone: whoever reads its messages may pause or go away."""
    open_closed_streams()
    with BackgroundStream(sys.stderr) as err, redirect_stderr(cast(TextIO, err)):
        try:
            code = main(sys.argv[1:])
        except KeyboardInterrupt:
            code = INTERRUPTED
        except SystemExit as ended:
            code = int(ended.code or 0)
    # After a signal, nothing waits for the reader of stdout.
    if code != INTERRUPTED and not finish_output():
        code = code or 1
    os._exit(code)


def end_on_signals() -> None:
    """Makes Ctrl+C, or a signal to end, raise KeyboardInterrupt once; later signals are ignored."""
    for each in _end_signals():
        signal.signal(each, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    for each in _end_signals():
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_signals() -> list[signal.Signals]:
    """The signals of Ctrl+C, of a request to end and, except on Windows, of a closed terminal."""
    ends = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
    return [each for each in ends if signal.getsignal(each) is not signal.SIG_IGN]
