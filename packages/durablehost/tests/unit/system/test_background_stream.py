"""A reader that is slow, gone or a full disk neither blocks nor ends the program, and every gap is visible."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from pathlib import Path
from typing import cast

import pytest

from durablehost.system.background_stream import BackgroundStream, is_same_file
from packages.durablehost.tests.eventually import eventually_blocking


class Disk(io.RawIOBase):
    """A raw stream whose writes fail while `error` is set, after `room` more bytes; `gate` closed: they block."""

    def __init__(self) -> None:
        self.content = b""
        self.error = 0
        self.room = 0
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.attempts += 1
        assert self.gate.wait(30)
        taken = bytes(data)
        if self.error:
            taken, self.room = taken[: self.room], 0
            if not taken:
                raise OSError(self.error, os.strerror(self.error))
        self.content += taken
        return len(taken)

    @property
    def lines(self) -> list[str]:
        return self.content.decode().splitlines()


def background(disk: Disk, *, most_characters: int = 1000) -> BackgroundStream:
    stream = io.TextIOWrapper(io.BufferedWriter(cast(io.RawIOBase, disk)), encoding="utf-8")
    return BackgroundStream(stream, most_characters=most_characters)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_everything_is_written_in_order_before_close_returns(disk: Disk) -> None:
    with background(disk, most_characters=10**7) as stream:
        for number in range(10_000):
            stream.write(f"{number} °C\n")
    assert disk.lines == [f"{number} °C" for number in range(10_000)]


def test_letters_that_the_encoding_lacks_are_escaped() -> None:
    disk = Disk()
    with BackgroundStream(io.TextIOWrapper(io.BufferedWriter(cast(io.RawIOBase, disk)), encoding="ascii")) as stream:
        stream.write("21 °C\n")
    assert disk.lines == ["21 \\xb0C"]


def test_a_stream_without_a_file_is_written_too() -> None:
    out = io.StringIO()
    with BackgroundStream(out) as stream:
        stream.write("hello\n")
    assert out.getvalue() == "hello\n"


def test_a_blocked_reader_costs_the_lines_beyond_the_bound_and_a_note_stands_in_the_gap(disk: Disk) -> None:
    disk.gate.clear()
    stream = background(disk, most_characters=100)
    stream.write("first\n")
    eventually_blocking(lambda: disk.attempts)
    for number in range(1000):
        stream.write(f"line {number:5}\n")
    disk.gate.set()
    eventually_blocking(lambda: b"missing" in disk.content)
    stream.write("last\n")
    stream.close()
    kept = [f"line {number:5}" for number in range(10)]
    note = "[990 lines are missing here: the reader of this output was too slow]"
    assert disk.lines == ["first", *kept, note, "last"]


def test_close_waits_for_a_blocked_reader_for_a_bounded_time(disk: Disk) -> None:
    disk.gate.clear()
    stream = background(disk)
    stream.write("first\n")
    stream.close(seconds=0.01)
    assert disk.content == b""
    disk.gate.set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO])
def test_lines_that_cannot_be_written_are_counted_until_writing_works_again(disk: Disk, number: int) -> None:
    stream = background(disk)
    stream.write("first\n")
    eventually_blocking(lambda: disk.lines == ["first"])
    disk.error = number
    for attempt in range(3):
        stream.write("lost\nlost\n")
        eventually_blocking(lambda expected=attempt + 2: disk.attempts >= expected)  # type: ignore[misc]
    disk.error = 0
    stream.write("last\n")
    stream.close()
    assert disk.lines == ["first", f"[6 lines are missing here: {os.strerror(number)}]", "last"]


def test_lines_lost_last_are_counted_at_the_end_if_writing_works_again(disk: Disk) -> None:
    stream = background(disk)
    disk.error = errno.ENOSPC
    stream.write("lost\n")
    eventually_blocking(lambda: disk.attempts)
    disk.error = 0
    stream.close()
    assert disk.lines == [f"[1 line is missing here: {os.strerror(errno.ENOSPC)}]"]


def test_a_line_that_is_cut_off_counts_as_lost_and_the_note_begins_a_new_one(disk: Disk) -> None:
    stream = background(disk)
    disk.error, disk.room = errno.ENOSPC, 8
    stream.write("whole\ncut off\nlost\n")
    eventually_blocking(lambda: disk.attempts == 2)
    disk.error = 0
    stream.write("last\n")
    stream.close()
    assert disk.lines == ["whole", "cu", f"[2 lines are missing here: {os.strerror(errno.ENOSPC)}]", "last"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no /dev/full")
def test_a_full_device_raises_nothing() -> None:
    with Path("/dev/full").open("w") as full, BackgroundStream(full) as stream:
        stream.write("lost\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be made non-blocking there")
def test_a_pipe_that_another_program_has_made_non_blocking_loses_nothing() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    text = "x" * 1_000_000
    received: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 65536):
            received.append(data)

    with os.fdopen(writer, "w") as pipe:
        stream = BackgroundStream(pipe)
        stream.write(f"{text}\n")
        thread = threading.Thread(target=read)
        thread.start()
        stream.close(30)
    thread.join(30)
    os.close(reader)
    assert b"".join(received).decode() == f"{text}\n"


def test_a_closed_stream_raises_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as out:
        stream = BackgroundStream(out)
    stream.write("lost\n")
    stream.close()


def test_two_names_of_one_file_are_recognised(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as one, (tmp_path / "b").open("w") as other:
        with os.fdopen(os.dup(one.fileno()), "w") as copy:
            assert is_same_file(one, copy)
        assert not is_same_file(one, other)
    assert not is_same_file(io.StringIO(), io.StringIO())
