"""What a worker process writes to its stdout and stderr, as lines of bounded length, and the level of each.

Mirrors WorkerProcess.ErrorDataReceived and WorkerConsoleLogSource of the Functions host.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator

MAX_LINE_LENGTH = 16 * 1024
_ERROR_WORDS = re.compile("error|fail|severe|unhandled exception", re.IGNORECASE)
_WARNING_WORD = re.compile("warn", re.IGNORECASE)


class LineSplitter:
    """Cuts a stream of bytes into lines; a longer line comes in pieces, so that nothing piles up."""

    def __init__(self, max_length: int = MAX_LINE_LENGTH) -> None:
        self._max_length = max_length
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in lines:
            yield from self._pieces(line)
        while len(self._rest) > self._max_length:
            piece, self._rest = self._rest[: self._max_length], self._rest[self._max_length :]
            yield piece

    def finish(self) -> Iterator[str]:
        """What is left at the end of the stream."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        if rest:
            yield from self._pieces(rest)

    def _pieces(self, line: str) -> Iterator[str]:
        line = line.rstrip("\r")
        for start in range(0, len(line) or 1, self._max_length):
            yield line[start : start + self._max_length]


def level_of_error_line(line: str) -> int:
    """The level of a line on stderr, guessed from its words as the Functions host does."""
    if _WARNING_WORD.search(line):
        return logging.WARNING
    return logging.ERROR if _ERROR_WORDS.search(line) else logging.INFO
