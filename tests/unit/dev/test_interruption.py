"""Ctrl+C at any moment of dev.py: no traceback, and nothing that it has started is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dev
from packages.durablehost.tests.eventually import eventually_blocking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX")

# A stand-in for pip: a program that starts another one.
BUSY = ["sh", "-c", "sleep 600 & echo $! > grandchild; echo $$ > half; mv half child; wait"]
RUN_BUSY = f"import dev, pathlib; dev.programs.end_on_signals(); dev.programs.run({BUSY}, pathlib.Path.cwd())"
SLOW = """
import pathlib, time
pathlib.Path(__file__).with_name("begun").touch()
time.sleep(600)
"""


def interrupted(command: list[str], begun: Path, number: signal.Signals) -> tuple[int, str]:
    """The exit code and the output of a program that gets the signal once the file exists."""
    environment = {**os.environ, "PYTHONPATH": str(dev.ROOT)}
    with subprocess.Popen(
        command, cwd=begun.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        try:
            eventually_blocking(begun.exists)
            # To it alone, not to its group as from a terminal.
            program.send_signal(number)
            output, _ = program.communicate(timeout=60)
        finally:
            program.kill()
    return program.returncode, output


def has_ended(pid: int) -> bool:
    # A zombie that nobody collects has ended too.
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()[:1] in ("", "Z")


def test_during_the_imports(tmp_path: Path) -> None:
    script = tmp_path / "dev.py"
    script.write_text(Path(dev.__file__).read_text("utf-8"), "utf-8")
    (tmp_path / "hashlib.py").write_text(SLOW)

    assert interrupted([sys.executable, str(script), "demo"], tmp_path / "begun", signal.SIGINT) == (130, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_the_set_up_runs_a_program(name: str, tmp_path: Path) -> None:
    number = signal.Signals[name]

    assert interrupted([sys.executable, "-c", RUN_BUSY], tmp_path / "child", number) == (128 + number, "")

    for file in ("child", "grandchild"):
        pid = int((tmp_path / file).read_text())
        eventually_blocking(lambda pid=pid: has_ended(pid))  # type: ignore[misc]


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    check = "import dev, signal; dev.programs.end_on_signals(); print(signal.getsignal(signal.SIGHUP).name)"
    command = ["sh", "-c", f"trap '' HUP; exec {sys.executable} -c '{check}'"]

    done = subprocess.run(command, cwd=dev.ROOT, capture_output=True, text=True)

    assert done.stdout == "SIG_IGN\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no /dev/full")
def test_a_full_disk_is_no_traceback() -> None:
    command = [sys.executable, str(dev.ROOT / "dev.py"), "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "dev.py: [Errno 28] No space left on device\n")
