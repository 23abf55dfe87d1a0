"""How the demo and the bench end: by a signal, or without anybody who reads their output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import dev
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX")

PROGRAM = """
import pathlib, sys, time
from demo.ending import end_on_signals, run_program
def main(arguments):
    end_on_signals()
    pathlib.Path("begun").touch()
    {body}
run_program(main)
"""


def command(body: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(body=body)]


@pytest.fixture
def environment() -> dict[str, str]:
    source = dev.ROOT / "packages" / "durablehost" / "src"
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(dev.ROOT), str(source)])}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_exit_code_130_without_a_traceback(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(command("time.sleep(600)"), cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as program:
        try:
            eventually_blocking((tmp_path / "begun").exists)
            program.send_signal(signal.Signals[name])
            _, said = program.communicate(timeout=60)
        finally:
            program.kill()
    assert (program.returncode, said) == (130, b"")


def test_a_reader_that_pauses_does_not_keep_it_from_ending(environment: dict[str, str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    os.set_blocking(writer, True)
    body = "sys.stderr.write('starting\\\\n'); sys.stdout.write('x' * 10**6)"
    with subprocess.Popen(command(body), cwd=tmp_path, env=environment, stdout=writer, stderr=writer) as program:
        try:
            eventually_blocking((tmp_path / "begun").exists)

            def has_ended() -> bool:
                # Python notices a signal that comes just before a write blocks only when another one interrupts it.
                program.send_signal(signal.SIGTERM)
                return program.poll() is not None

            eventually_blocking(has_ended, interval_seconds=1)
            assert program.returncode == 130
        finally:
            program.kill()
            os.close(reader)
            os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no /dev/full")
def test_a_full_disk_is_exit_code_1_without_a_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("print('result'); return 0"),
            cwd=tmp_path,
            env={**environment, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "")
