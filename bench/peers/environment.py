"""Installs a peer, and runs its script there.

Rule of this file: any failure of a peer is a `PeerError` in one line, for its place in the table; and no process of a
script outlives it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.errors import BenchError
from bench.figures import Say
from bench.stack import ROOT
from dev import fingerprint, read_record, write_record

SCRIPTS = Path(__file__).resolve().parent / "scripts"
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
ENVIRONMENTS = ROOT / ".local" / "bench" / "peers"
TIMEOUT_SECONDS = 1800
END_SECONDS = 20


class PeerError(BenchError):
    """This peer cannot be measured; the message says why."""


def environment_python(name: str, say: Say) -> Path:
    """The Python of the environment of `requirements/NAME.txt`, made and installed on first use."""
    requirements, folder = REQUIREMENTS / f"{name}.txt", ENVIRONMENTS / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    record = folder / ".installed"
    wanted = fingerprint([requirements], sys.version)
    if read_record(record) != wanted:
        say(f"installing {' and '.join(_packages(requirements))} into {folder.relative_to(ROOT)}")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
        _run([*pip, "-r", str(requirements)])
        write_record(record, wanted)
    return python


def _packages(requirements: Path) -> list[str]:
    return [line.partition("#")[0].strip() for line in requirements.read_text("utf-8").splitlines()]


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise PeerError(f"it cannot be installed: {_last_line(ended.stderr)}")


def run_script(
    python: Path, script: str, numbers: tuple[int, ...], address: str, folder: Path
) -> dict[str, dict[str, float]]:
    """The figures that the script prints; every process that it has started has ended by then."""
    with tempfile.TemporaryDirectory(dir=folder) as own_folder, Path(folder, f"{script}.log").open("w+") as log:
        process = subprocess.Popen(
            [str(python), str(SCRIPTS / f"{script}.py"), ",".join(map(str, numbers)), address],
            cwd=own_folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # A group of its own, so that all of it can be ended, and Ctrl+C reaches only the bench.
            start_new_session=sys.platform != "win32",
        )
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise PeerError(f"it did not end within {TIMEOUT_SECONDS} seconds") from None
        finally:
            _end(process)
        log.seek(0)
        return _figures(process.returncode, output, log.read())


def _figures(code: int, output: str, log: str) -> dict[str, dict[str, float]]:
    if code:
        raise PeerError(f"its script ended with exit code {code}: {_last_line(log)}")
    try:
        figures: dict[str, dict[str, float]] = json.loads(_last_line(output))
    except ValueError:
        raise PeerError(f"its script printed {output!r}") from None
    return figures


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it printed nothing"])[-1].strip()


def _end(process: subprocess.Popen[str]) -> None:
    """Asks the script and all that it has started to end, and kills what does not."""
    for name in ("SIGTERM", "SIGKILL"):
        _signal_group(process, name)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _signal_group(process: subprocess.Popen[str], name: str) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.Signals[name])
    except ProcessLookupError:
        return
