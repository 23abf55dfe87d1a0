"""What the command line does with a stdout or stderr that is closed, full or has no reader."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.durablehost.tests.e2e.host_process import environment_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the streams of a child are closed as on POSIX")

# Without a buffer the parser itself meets the error, and ignores it.
BUFFERED = {name: value for name, value in environment_of(None, None, {}).items() if name != "PYTHONUNBUFFERED"}
VERSION = [sys.executable, "-m", "durablehost", "--version"]
# Runs with stdin, stdout and stderr closed, and writes to the file which files have their numbers then.
CLOSED = """
import os, sys
from durablehost.system.standard_streams import finish_output, open_closed_streams
open_closed_streams()
opened = open(sys.argv[1], "w")
print("nobody sees this")
print("nor this", file=sys.stderr)
opened.write(f"{opened.fileno()} {finish_output()} {sys.stdin.read()!r}")
"""


@pytest.fixture
def pipe_without_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no /dev/full")
def test_a_full_disk_fails_the_command_without_a_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(VERSION, stdout=full, stderr=subprocess.PIPE, text=True, env=BUFFERED)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_reader_that_has_gone_fails_the_command_without_a_traceback(pipe_without_reader: int) -> None:
    done = subprocess.run(VERSION, stdout=pipe_without_reader, stderr=subprocess.PIPE, text=True, env=BUFFERED)
    assert (done.returncode, done.stderr) == (1, "")


def test_closed_streams_are_connected_with_nothing(tmp_path: Path) -> None:
    file = tmp_path / "numbers"
    subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", CLOSED, str(file)],
        env=BUFFERED,
        check=True,
        timeout=60,
    )
    number, is_finished, read = file.read_text().split()
    assert int(number) > 2
    assert (is_finished, read) == ("True", "''")
