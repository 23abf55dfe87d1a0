"""stdout and stderr that are closed, full or without a reader: no traceback, and an exit code that shows it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def open_closed_streams() -> None:
    """Connects those of stdin, stdout and stderr that are closed with nothing.

    Otherwise the next file or socket would get the number of one of them, and the output with it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def finish_output() -> bool:
    """Writes what stdout and stderr have not written yet; whether that was possible.

    The interpreter would try it again at its end, print a traceback and change the exit code.
    """
    is_out_finished, is_err_finished = _finish(sys.stdout), _finish(sys.stderr)
    return is_out_finished and is_err_finished


def _finish(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
        return False
    return True
