"""Ctrl+C before a program handles it itself, and while it starts another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from durablehost.system.interruption import interruptible, uninterrupted
from packages.durablehost.tests.e2e.host_process import APPS, CHECKOUT, environment_of
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX")

# A module of this name is imported late by `durablehost start`, and here takes for ever.
SLOW_MODULE = "aiohttp"
SLOW = """
import pathlib, time
pathlib.Path(__file__).with_name("begun").touch()
time.sleep(600)
"""
HELD_BACK = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.kill(os.getpid(), signal.SIGINT)
os.execv(sys.executable, [sys.executable, "-m", sys.argv[1], "--help"])
"""


@pytest.fixture
def received() -> Iterator[list[int]]:
    """What the handler of Ctrl+C has received."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_during_the_imports_ends_the_start_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / f"{SLOW_MODULE}.py").write_text(SLOW)
    environment = environment_of("UseDevelopmentStorage=true", None, {})
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    command = [sys.executable, "-m", "durablehost", "start", "--script-root", str(APPS / "hello")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as host:
        try:
            eventually_blocking((tmp_path / "begun").exists)
            host.send_signal(signal.SIGINT)
            output, _ = host.communicate(timeout=60)
        finally:
            host.kill()
    assert (host.returncode, output) == (130, b"")


@pytest.mark.parametrize("module", ["durablehost", "demo", "bench"])
def test_ctrl_c_that_was_held_back_takes_effect_at_the_first_statement(module: str) -> None:
    command = [sys.executable, "-c", HELD_BACK, module]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment_of(None, None, {}), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_signal_waits_for_the_end_of_the_block(received: list[int]) -> None:
    with uninterrupted():
        interrupt()
        assert received == []
    assert received == [signal.SIGINT]
    interrupt()
    assert received == [signal.SIGINT] * 2


def test_a_second_signal_does_not_wait(received: list[int]) -> None:
    with uninterrupted():
        interrupt()
        interrupt()
        assert received == [signal.SIGINT]


def test_a_signal_is_not_lost_if_the_block_fails(received: list[int]) -> None:
    with suppress(ValueError), uninterrupted():
        interrupt()
        raise ValueError
    assert received == [signal.SIGINT]


def test_other_threads_change_no_handlers(received: list[int]) -> None:
    def run() -> None:
        with uninterrupted():
            interrupt()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    eventually_blocking(lambda: received == [signal.SIGINT])


def test_the_handler_of_another_program_is_kept(received: list[int]) -> None:
    with interruptible():
        interrupt()
    assert received == [signal.SIGINT]
