"""Starts an Azurite that several processes can use, or joins it; it ends when the last of them has ended.

Standard library only, and blocking. A keeper process runs Azurite, so that neither Ctrl+C nor `kill -9` of one user
takes it away from the others, and it does not outlive them all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from durablehost.emulator.azurite import (
    ACCOUNTS_VARIABLE,
    Ports,
    PortTaken,
    child_environment,
    creation_flags,
    find_command,
)
from durablehost.emulator.keeper import Task
from durablehost.emulator.run_folder import RunFolder, Running, User, usable
from durablehost.errors import ConfigurationError

_PACKAGES = str(Path(__file__).parents[2])
_CODE = "import sys; sys.path.insert(0, sys.argv.pop()); from durablehost.emulator.keeper import main; sys.exit(main())"
# An Azurite that has not ended by itself after 10 seconds is killed.
_END_SECONDS = 20
_POLL_SECONDS = 0.02


class Use:
    """The use of an Azurite by this process, until `end`."""

    def __init__(
        self, folder: RunFolder, running: Running, user: User, keeper: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._folder = folder
        self._user = user
        self._keeper = keeper
        self.running = running

    @property
    def ports(self) -> Ports:
        return self.running.ports

    @property
    def log_file(self) -> Path:
        return self._folder.data / "azurite.log"

    @property
    def keeper_pid(self) -> int | None:
        """The process that runs Azurite; None if another process has started it."""
        return None if self._keeper is None else self._keeper.pid

    def is_running(self) -> bool:
        return self._folder.is_running()

    def end(self) -> None:
        """If no other process uses the Azurite, returns when it has saved its data and ended. Safe to call twice."""
        self._user.remove()
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
        deadline = time.monotonic() + _END_SECONDS
        with suppress(ConfigurationError):
            while self._folder.is_running() and time.monotonic() < deadline:
                with self._folder.exclusively():
                    if self._folder.has_users():
                        self._leave_keeper()
                        return
                time.sleep(_POLL_SECONDS)
        if self._keeper is not None:
            with suppress(subprocess.TimeoutExpired):
                self._keeper.wait(max(deadline - time.monotonic(), _POLL_SECONDS))

    def _leave_keeper(self) -> None:
        if self._keeper is not None and self._keeper.poll() is None:
            # It outlives this process on purpose: subprocess must not warn about it.
            self._keeper.returncode = 0


def join(folder: RunFolder) -> Use | None:
    """Uses the Azurite that runs in the folder; None if there is none. The caller has locked the folder."""
    running = folder.running()
    return None if running is None else Use(folder, running, folder.new_user())


def start(
    folder: RunFolder, running: Running, *, accounts: str | None, folders: Iterable[Path], note: Path | None = None
) -> Use:
    """Starts an Azurite, whose account is that of `accounts`, and returns when it answers.

    The caller has locked the folder, in which none runs.

    Raises:
        PortTaken: a port is in use.
        ConfigurationError: Azurite is missing, or did not come up.
    """
    task = Task(local_folder=folder.local_folder, command=find_command(folders), running=running, note=note)
    user = folder.new_user()
    with ExitStack() as on_failure:
        on_failure.callback(user.remove)
        keeper = _spawn(task, folder, accounts)
        on_failure.callback(_abandon, keeper)
        _wait_for_answer(keeper, folder)
        on_failure.pop_all()
    return Use(folder, running, user, keeper)


def _spawn(task: Task, folder: RunFolder, accounts: str | None) -> subprocess.Popen[bytes]:
    with usable(folder.log_file), folder.log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE, task.to_json(), _PACKAGES],
            env=child_environment() | ({} if accounts is None else {ACCOUNTS_VARIABLE: accounts}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Ctrl+C in the terminal is for its users.
            start_new_session=sys.platform != "win32",
            creationflags=creation_flags(),
        )


def _abandon(keeper: subprocess.Popen[bytes]) -> None:
    """Ends a keeper that has not started Azurite, or whose start is given up."""
    for pipe in filter(None, (keeper.stdin, keeper.stdout)):
        pipe.close()
    keeper.terminate()
    with suppress(subprocess.TimeoutExpired):
        keeper.wait(_END_SECONDS)


def _wait_for_answer(keeper: subprocess.Popen[bytes], folder: RunFolder) -> None:
    assert keeper.stdout is not None
    with keeper.stdout as stdout:
        line = stdout.readline()
    if not line:
        raise ConfigurationError(f"Azurite cannot start: the process that runs it has ended: see {folder.log_file}.")
    answer = json.loads(line)
    if "error" in answer:
        raise (PortTaken if answer["is_port_taken"] else ConfigurationError)(answer["error"])
