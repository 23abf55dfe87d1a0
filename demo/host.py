"""durablehost as a child process of the demonstration: its port, its start, its end.

Its output goes to a log file; errors show the end of it.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo import http
from demo.errors import DemoError
from durablehost.emulator.azurite import is_free
from durablehost.system.interruption import uninterrupted

HOST = "127.0.0.1"
DEFAULT_PORT = 7071
START_SECONDS = 60
STOP_SECONDS = 20

_TRIALS = 5
# The host shows it in its status: another host may answer on the port.
_TOKEN_VARIABLE = "DURABLEHOST_START_TOKEN"
# Short, because the bench measures the start with it.
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 20


class PortTaken(DemoError):
    """The host has ended, and another program has its port."""


class DurableHost:
    """A running host."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token: str, log_file: Path) -> None:
        self._process = process
        self._port = port
        self._token = token
        self._log_file = log_file
        self.url = f"http://{HOST}:{port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, *, timeout_seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self._is_ready():
            self.check_running()
            if time.monotonic() >= deadline:
                raise DemoError(f"durablehost was not ready within {timeout_seconds:g} seconds. {self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def check_running(self) -> None:
        """Raises DemoError, with the end of the log, if the host has ended."""
        if (code := self._process.poll()) is not None:
            text = f"durablehost ended with exit code {code}. {self.log_tail()}"
            raise PortTaken(text) if f"Port {self._port} is unavailable." in text else DemoError(text)

    def log_tail(self) -> str:
        lines = self._log_file.read_text("utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(["The end of its log:", *(f"  {line}" for line in lines)])

    def kill(self) -> None:
        """Ends it as a power cut would, and does not collect its exit code."""
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
            status = http.get(f"{self.url}/admin/host/status").body
            return status.get("state") == "Running" and status.get("startToken") == self._token
        except http.Unreachable:
            return False


@contextmanager
def running_durablehost(
    command: list[str], *, port: int, settings: dict[str, str], log_file: Path
) -> Iterator[DurableHost]:
    """A host that is ready, stopped at the end of the block. `settings` win over local.settings.json.

    Raises:
        PortTaken: it could not start, because another program has the port.
        DemoError: it could not start.
    """
    with ExitStack() as started:
        with uninterrupted():
            durablehost = _spawn(command, port, settings, log_file)
            started.callback(durablehost.stop)
        durablehost.wait_until_ready()
        yield durablehost


@contextmanager
def running_on_a_free_port(
    command: Callable[[int], list[str]], *, settings_file: Path, settings: dict[str, str], log_file: Path
) -> Iterator[DurableHost]:
    """`running_durablehost` on the port of `choose_port`; on another one if a program takes that meanwhile."""
    with ExitStack() as stack:
        for trial in range(1, _TRIALS + 1):
            port = choose_port(settings_file)
            host = running_durablehost(command(port), port=port, settings=settings, log_file=log_file)
            try:
                durablehost = stack.enter_context(host)
                break
            except PortTaken:
                if trial == _TRIALS:
                    raise
        yield durablehost


def _spawn(command: list[str], port: int, settings: dict[str, str], log_file: Path) -> DurableHost:
    token = secrets.token_hex(16)
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings, _TOKEN_VARIABLE: token},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl+C must reach only the demonstration, which then stops the host in good order.
            start_new_session=sys.platform != "win32",
            creationflags=_creation_flags(),
        )
    return DurableHost(process, port, token, log_file)


def choose_port(settings_file: Path) -> int:
    """The port of local.settings.json, or a free one if that is taken."""
    wanted = _port_of_settings(settings_file)
    if is_free(wanted):
        return wanted
    with socket.socket() as candidate:
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
