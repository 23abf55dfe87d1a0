"""Splits the output of a worker process into lines of bounded length, and guesses their levels.

Mirrors WorkerProcess.ErrorDataReceived and WorkerConsoleLogSource of the Functions host.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator

# In characters: more than anybody prints on purpose, and little enough to wait in memory for its end.
MAX_LINE_LENGTH = 8 * 1024 * 1024
_ERROR_WORDS = re.compile("error|fail|severe|unhandled exception", re.IGNORECASE)
_WARNING_WORD = re.compile("warn", re.IGNORECASE)


class LineSplitter:
    """Cuts a stream of bytes into lines; a longer line comes in pieces, so that memory stays bounded."""

    def __init__(self, max_length: int = MAX_LINE_LENGTH) -> None:
        self._max_length = max_length
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # The parts of the line whose end has not come yet, joined only then: a long line comes in hundreds of them.
        self._rest: list[str] = []
        self._length = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that are complete now."""
        *lines, rest = self._decoder.decode(data).split("\n")
        for line in lines:
            self._add(line)
            yield from self._pieces(self._take())
        self._add(rest)
        while self._length > self._max_length:
            begun = self._take()
            yield begun[: self._max_length]
            self._add(begun[self._max_length :])

    def finish(self) -> Iterator[str]:
        """What is left at the end of the stream."""
        self._add(self._decoder.decode(b"", final=True))
        if rest := self._take():
            yield from self._pieces(rest)

    def _add(self, text: str) -> None:
        self._rest.append(text)
        self._length += len(text)

    def _take(self) -> str:
        text = "".join(self._rest)
        self._rest, self._length = [], 0
        return text

    def _pieces(self, line: str) -> Iterator[str]:
        line = line.rstrip("\r")
        for start in range(0, len(line) or 1, self._max_length):
            yield line[start : start + self._max_length]


def level_of_error_line(line: str) -> int:
    """The level of a line on stderr, guessed from its words as the Functions host does."""
    if _WARNING_WORD.search(line):
        return logging.WARNING
    return logging.ERROR if _ERROR_WORDS.search(line) else logging.INFO
