"""A real host as a child process: starts it on a free port, waits for it, signals it, and keeps its output."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from durablehost.settings.app_python import SETTING

PACKAGE = Path(__file__).parents[2]
CHECKOUT = PACKAGE.parents[1]
APPS = PACKAGE / "tests" / "apps"
HUB_NAME_VARIABLE = "AzureFunctionsJobHost__extensions__durableTask__hubName"
READY_SECONDS = 180
END_SECONDS = 120

# Variables of the developer's shell must not affect a test.
_FOREIGN_PREFIXES = ("azurewebjobs", "azurefunctions", "functions_", "otel_", "readings", "website_")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer of any status; header names are found in any case."""

    status: int
    headers: Message
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def call(method: str, url: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Sends one HTTP request; a `body` of bytes is sent unchanged, any other as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(status=response.status, headers=response.headers, body=response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(status=error.code, headers=error.headers, body=error.read())


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return int(candidate.getsockname()[1])


class HostProcess:
    """`python -m durablehost start`, running or ended."""

    def __init__(self, process: subprocess.Popen[bytes], *, port: int, output_file: Path) -> None:
        self._process = process
        self._output_file = output_file
        self.port = port
        self.url = f"http://localhost:{port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything it has printed so far, stdout and stderr."""
        return self._output_file.read_text("utf-8", errors="replace")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            assert self._process.poll() is None, f"the host ended with {self._process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"the host was not ready in time:\n{self.output}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            answer = call("GET", f"{self.url}/admin/host/status")
        except OSError:
            return False
        return answer.status == 200 and answer.document["state"] == "Running"

    def interrupt(self) -> None:
        """Sends the signal of Ctrl+C in a terminal, to the host and every process of its group."""
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """Kills it like a power cut: nothing is cleaned up."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_seconds: float = END_SECONDS) -> int:
        """The exit code."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as expired:
            # Not "from None", which would also hide an earlier failure.
            raise AssertionError(f"the host did not end in time:\n{self.output}") from expired

    def stop(self) -> None:
        """Stops it in order, whatever its state."""
        if self._process.poll() is None:
            self.interrupt()
            try:
                self.wait()
            finally:
                self._process.kill()
                self._process.wait()


def environment_of(storage: str | None, hub_name: str | None, extra: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.lower().startswith(_FOREIGN_PREFIXES)}
    chosen = {"AzureWebJobsStorage": storage, HUB_NAME_VARIABLE: hub_name}
    return {
        **inherited,
        "PYTHONPATH": str(PACKAGE / "src"),
        "PYTHONUTF8": "1",
        # The Python of the tests, whatever is active in the shell or lies beside the app.
        SETTING: sys.executable,
        **{name: value for name, value in chosen.items() if value is not None},
        **extra,
    }


def spawn_host(
    app_root: Path,
    *,
    output_file: Path,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    port: int = 0,
    within: Sequence[str] = (),
    stdout: int | None = None,
) -> HostProcess:
    """Starts a host and returns at once.

    `within` is a command that runs it, such as that of a container. `stdout` is a descriptor; None: the output file.
    """
    port = port or free_port()
    command = [
        *within,
        sys.executable,
        "-m",
        "durablehost",
        "start",
        "--script-root",
        str(app_root),
        "--port",
        str(port),
        *options,
    ]
    with output_file.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=app_root,
            stdin=subprocess.DEVNULL,
            stdout=output if stdout is None else stdout,
            stderr=output,
            # A group of its own: Ctrl+C in the terminal of the tests is for the tests.
            start_new_session=sys.platform != "win32",
            creationflags=_creation_flags(),
        )
    return HostProcess(process, port=port, output_file=output_file)


@contextmanager
def hosted(host: HostProcess, *, is_awaited: bool = True) -> Iterator[HostProcess]:
    """Waits until the host is ready, and stops it after the block if it is still running."""
    try:
        if is_awaited:
            host.wait_until_ready()
        yield host
    finally:
        host.stop()


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0
