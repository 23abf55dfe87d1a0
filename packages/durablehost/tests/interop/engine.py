"""The real engine as a child process: the WebJobs host with the durable extension, for tests that compare with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from packages.durablehost.tests.e2e.host_process import APPS, call, free_port
from packages.durablehost.tests.e2e.orchestration import MANAGEMENT

# The folder of an executable engine, with its `run_engine.py`. It is not part of the project.
VARIABLE = "DURABLE_ENGINE_DIR"
SCRIPTED_APP = APPS / "scripted"
READY_SECONDS = 180
DEFAULT_VERSION = "1.0"
# What a killed engine held comes back after this time, not after five minutes.
OPTIONS = {
    "defaultVersion": DEFAULT_VERSION,
    "storageProvider": {
        "controlQueueVisibilityTimeout": "00:01:00",
        "workItemQueueVisibilityTimeout": "00:00:10",
        "maxQueuePollingInterval": "00:00:01",
    },
}


class RealEngine:
    """The engine on a hub from the beginning of a `with` statement to its end, or until it is killed."""

    def __init__(self, folder: Path, app: Path, *, hub_name: str, connection_string: str, log_file: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log_file = log_file
        command = [sys.executable, str(folder / "run_engine.py"), "--app", str(app), "--hub", hub_name]
        options = {
            "--connection": connection_string,
            "--port": str(self.port),
            "--python": sys.executable,
            "--durable": json.dumps(OPTIONS),
        }
        for name, value in options.items():
            command += [name, value]
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=_environment()
            )

    def __enter__(self) -> RealEngine:
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it as a power cut would; its worker process ends with it."""
        self._process.kill()
        self._process.wait()

    def check_running(self) -> None:
        assert self._process.poll() is None, f"the engine ended with {self._process.returncode}:\n{self._output}"

    @property
    def _output(self) -> str:
        return self._log_file.read_text("utf-8", errors="replace")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            self.check_running()
            assert time.monotonic() < deadline, f"the engine was not ready in time:\n{self._output}"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return call("GET", f"{self.url}{MANAGEMENT}/instances?code=test&top=1").status == 200
        except OSError:
            return False


def _environment() -> Mapping[str, str]:
    # Its worker imports the app's requirements alone.
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
