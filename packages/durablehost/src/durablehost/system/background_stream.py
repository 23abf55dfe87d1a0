"""Writes text in a thread of its own, so that whoever reads the output can neither block nor end the program.

Rule of this file: `write` never waits and never raises. A reader may pause (`| less`), go away (`| head`) or be a full
disk. Text that cannot be written is counted, and one line says how many lines are missing, in the place of the gap.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from types import TracebackType
from typing import Protocol, TextIO

# Waiting text beyond this is dropped: the size of a few prints of several megabytes, at most 128 MiB of memory.
MOST_CHARACTERS = 32 * 1024 * 1024
# How long the end of a program waits for the last lines.
CLOSE_SECONDS = 2.0

_BATCH_CHARACTERS = 64 * 1024
_BATCH_BYTES = 64 * 1024
_TOO_SLOW = "the reader of this output was too slow"


class TextSink(Protocol):
    """What a console needs of a stream."""

    @property
    def encoding(self) -> str | None: ...
    def isatty(self) -> bool: ...
    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class _Note(str):
    """The line that stands for lost ones. `lines` is their number."""

    lines: int


class BackgroundStream:
    """A text stream whose `write` returns at once; `close` waits for what has not been written yet.

    Nothing else may write to `stream` meanwhile. Safe to use from any thread.
    """

    def __init__(self, stream: TextIO, *, most_characters: int = MOST_CHARACTERS) -> None:
        self._stream = stream
        # Unbuffered: a thread that is stuck in a write must not hold the lock of a buffer, which the interpreter
        # needs at its end.
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)
        self._most_characters = most_characters
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._is_full = False
        self._refused = 0
        self._is_closing = False
        # Of the thread alone.
        self._failed = 0
        self._reason = ""
        self._is_cut = False
        self._thread = threading.Thread(target=self._run, name="durablehost-output", daemon=True)
        self._thread.start()

    def __enter__(self) -> BackgroundStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def encoding(self) -> str:
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        with self._changed:
            if self._is_full:
                self._refused += _lines_of(text)
            elif text:
                self._append(text)
                self._is_full = self._characters > self._most_characters
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Does nothing: the text is written as soon as possible anyway."""

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Returns when everything is written, after `seconds` at the latest."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while batch := self._next_batch():
            if self._failed:
                self._failed = self._put(_note(self._failed, self._reason))
            # Text after a gap without its note would hide the gap.
            self._failed += _lines_of(batch) if self._failed else self._put(batch)
        if self._failed:
            self._put(_note(self._failed, self._reason))

    def _next_batch(self) -> str:
        """A note alone, or as many texts as make a batch; empty at the end."""
        with self._changed:
            while not self._waiting and not self._is_closing:
                self._changed.wait()
            batch = self._take_batch()
            self._characters -= len(batch)
            # Not at the first free character, so that one gap has one note.
            if self._is_full and self._characters <= self._most_characters // 2:
                self._is_full = False
                if self._refused:
                    self._append(_note(self._refused, _TOO_SLOW))
                    self._refused = 0
        return batch

    def _take_batch(self) -> str:
        if self._waiting and isinstance(self._waiting[0], _Note):
            return self._waiting.popleft()
        batch: list[str] = []
        size = 0
        while self._waiting and size < _BATCH_CHARACTERS and not isinstance(self._waiting[0], _Note):
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        return "".join(batch)

    def _append(self, text: str) -> None:
        self._waiting.append(text)
        self._characters += len(text)

    def _put(self, text: str) -> int:
        """Writes the text; returns how many of its lines could not be written."""
        content = (f"\n{text}" if self._is_cut and isinstance(text, _Note) else text).replace("\n", os.linesep)
        encoded = content.encode(self.encoding, "backslashreplace")
        written = 0
        try:
            if self._raw is None:
                self._stream.write(text)
                self._stream.flush()
                return 0
            while written < len(encoded):
                # None: another program has made the pipe non-blocking, and it is full.
                count = self._raw.write(encoded[written : written + _BATCH_BYTES])
                if count is None:
                    _wait_until_writable(self._raw.fileno())
                elif count:
                    written += count
                    self._is_cut = not encoded.endswith(b"\n", written - 1, written)
        except (OSError, ValueError) as error:
            self._reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            rest = encoded[written:].count(b"\n")
            return _lines_of(text) if isinstance(text, _Note) else max(rest, 1)
        return 0


def is_same_file(one: TextIO, other: TextIO) -> bool:
    """Whether both streams write to one file or terminal, as after `2>&1`."""
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())
    except (OSError, ValueError):
        return False


def _lines_of(text: str) -> int:
    return text.lines if isinstance(text, _Note) else max(text.count("\n"), 1)


def _note(lines: int, reason: str) -> _Note:
    note = _Note(f"[{lines} {'line is' if lines == 1 else 'lines are'} missing here: {reason}]\n")
    note.lines = lines
    return note


def _wait_until_writable(descriptor: int) -> None:
    try:
        select.select([], [descriptor], [], 1.0)
    except (OSError, ValueError):
        # A descriptor beyond those that select can watch.
        time.sleep(0.05)
