"""Lines of a process's output: complete, bounded, and with a level that follows their words."""

from __future__ import annotations

import logging

import pytest

from durablehost.worker.output import MAX_LINE_LENGTH, LineSplitter, level_of_error_line


def lines_of(*chunks: bytes, max_length: int = 100) -> list[str]:
    splitter = LineSplitter(max_length)
    return [line for chunk in chunks for line in splitter.feed(chunk)] + list(splitter.finish())


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc"], ["ab", "c"]),
        ([b"a\r\n\n"], ["a", ""]),
        (["ü".encode()[:1], "ü".encode()[1:] + b"\n"], ["ü"]),
        ([b"\xff\n"], ["\ufffd"]),
        ([], []),
    ],
)
def test_lines_are_split_correctly_wherever_the_chunks_end(chunks: list[bytes], lines: list[str]) -> None:
    assert lines_of(*chunks) == lines


def test_a_long_line_is_split_into_pieces() -> None:
    assert lines_of(b"x" * 25 + b"\n", max_length=10) == ["x" * 10, "x" * 10, "x" * 5]


def test_an_endless_line_does_not_pile_up() -> None:
    splitter = LineSplitter(10)
    pieces = [piece for _ in range(100) for piece in splitter.feed(b"x" * 7)]
    assert sum(map(len, pieces)) + len("".join(splitter.finish())) == 700
    assert max(map(len, pieces)) == 10


def test_a_print_of_megabytes_is_one_line_however_it_is_read() -> None:
    text = b"x" * 3_000_000
    chunks = [text[start : start + 65536] for start in range(0, len(text), 65536)]
    assert lines_of(*chunks, b"\n", max_length=MAX_LINE_LENGTH) == [text.decode()]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("UserWarning: an error", logging.WARNING),
        ("It FAILED", logging.ERROR),
        ("Unhandled exception", logging.ERROR),
        ("severe", logging.ERROR),
        ("hello", logging.INFO),
    ],
)
def test_the_level_of_an_error_line_follows_its_words(line: str, level: int) -> None:
    assert level_of_error_line(line) == level
