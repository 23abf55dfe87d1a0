"""devhost as a child process of the demonstration: its port, its start, its end.

What it prints goes to a log file, of which errors show the end.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo import http
from demo.errors import DemoError

HOST = "127.0.0.1"
DEFAULT_PORT = 7071
START_SECONDS = 60
STOP_SECONDS = 20

# Short, for the bench times the start by it.
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 20


class Devhost:
    """A running host."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log_file: Path) -> None:
        self._process = process
        self._log_file = log_file
        self.url = url

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, *, timeout_seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self._is_ready():
            self.check_running()
            if time.monotonic() >= deadline:
                raise DemoError(f"devhost was not ready within {timeout_seconds:g} seconds. {self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def check_running(self) -> None:
        """Raises DemoError with the end of the log once the host has ended."""
        if (code := self._process.poll()) is not None:
            raise DemoError(f"devhost ended with exit code {code}. {self.log_tail()}")

    def log_tail(self) -> str:
        lines = self._log_file.read_text("utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(["The end of its log:", *(f"  {line}" for line in lines)])

    def kill(self) -> None:
        """Ends it as a power cut would, without asking for its exit code."""
        self._process.kill()

    def stop(self, *, timeout_seconds: float = STOP_SECONDS) -> None:
        if self._process.poll() is None:
            self._signal("SIGINT", windows="CTRL_BREAK_EVENT")
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, name: str, *, windows: str) -> None:
        self._process.send_signal(signal.Signals[windows if sys.platform == "win32" else name])

    def _is_ready(self) -> bool:
        try:
            return http.get(f"{self.url}/admin/host/status").body.get("state") == "Running"
        except http.Unreachable:
            return False


@contextmanager
def running_devhost(command: list[str], *, port: int, settings: dict[str, str], log_file: Path) -> Iterator[Devhost]:
    """A host that is ready, stopped at the end of the block. `settings` win over local.settings.json."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl+C in the terminal is for the demonstration, which then stops the host in good order.
            start_new_session=sys.platform != "win32",
            creationflags=_creation_flags(),
        )
    devhost = Devhost(process, f"http://{HOST}:{port}", log_file)
    try:
        devhost.wait_until_ready()
        yield devhost
    finally:
        devhost.stop()


def choose_port(settings_file: Path) -> int:
    """The port of local.settings.json, or a free one where that is taken."""
    wanted = _port_of_settings(settings_file)
    with socket.socket() as candidate:
        if sys.platform != "win32":
            # Else connections of a host that has just ended would make its port look taken.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, wanted))
        except OSError:
            candidate.bind((HOST, 0))
        return int(candidate.getsockname()[1])


def _port_of_settings(settings_file: Path) -> int:
    try:
        host = json.loads(settings_file.read_text("utf-8-sig")).get("Host", {})
        return int(host.get("LocalHttpPort", DEFAULT_PORT))
    except FileNotFoundError:
        return DEFAULT_PORT
    except (ValueError, AttributeError, TypeError) as error:
        raise DemoError(f"{settings_file.name} cannot be read: {error}") from error


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0
