"""The lock files by which the processes that use one Azurite know of each other, even after `kill -9`.

`.local/azurite-run` has a file `running`, locked as long as an Azurite may write to the data of the app; a file for
each process that uses it, locked by that process; and a file `lock`, locked by whoever starts, joins or ends it.
Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from durablehost.emulator.azurite import Ports
from durablehost.errors import ConfigurationError
from durablehost.system.file_lock import try_lock

# Longer than a start of Azurite, during which the lock is held.
_LOCK_SECONDS = 90
_POLL_SECONDS = 0.02
_USER = "user-"
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running Azurite, started for the app in the folder `app`. `has_own_key`: the key of the address file."""

    ports: Ports
    has_own_key: bool
    app: str


class User:
    """The mark of a process that uses an Azurite, until `remove` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = lock_file(path)
        try_lock(self._file)

    def remove(self) -> None:
        self._file.close()
        with suppress(OSError):
            self._path.unlink()


class RunFolder:
    """The data and the lock files of the Azurite of one app; `local_folder` is its folder `.local`."""

    def __init__(self, local_folder: Path) -> None:
        self.local_folder = local_folder
        self.data = local_folder / "azurite"
        self._path = local_folder / "azurite-run"

    @property
    def log_file(self) -> Path:
        """For errors of the process that runs Azurite. It exists since the first start."""
        return self._path / "keeper.log"

    @property
    def _running(self) -> Path:
        return self._path / "running"

    def exists(self) -> bool:
        return self._path.is_dir()

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keeps others from starting, joining or ending the Azurite; the methods below need that.

        Raises:
            ConfigurationError: the folder cannot be used.
        """
        with usable(self._path):
            self._path.mkdir(mode=0o700, exist_ok=True)
        with locked(self._path / "lock"):
            yield

    def running(self) -> Running | None:
        """The Azurite that runs with the data of the app; None if there is none.

        Raises:
            ConfigurationError: it does not get ready: the process that started it was killed meanwhile.
        """
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            with lock_file(self._running) as file:
                if try_lock(file):
                    return None
                if content := file.read():
                    return _parsed(content)
            if time.monotonic() >= deadline:
                raise ConfigurationError(f"An Azurite with the data in {self.data} does not get ready: end it.")
            time.sleep(_POLL_SECONDS)

    def lock_running(self) -> FileIO:
        """Marks that an Azurite runs, until the file is closed here and in Azurite, which inherits it.

        Does not need the lock, and neither does `is_running`.
        """
        file = lock_file(self._running)
        wait_for_lock(file, self._running)
        file.truncate()
        return file

    def is_running(self) -> bool:
        with lock_file(self._running) as file:
            return not try_lock(file)

    def new_user(self) -> User:
        with usable(self._path):
            return User(self._path / f"{_USER}{uuid.uuid4().hex}")

    def has_users(self) -> bool:
        """Whether a living process uses the Azurite. Removes the marks of dead ones."""
        are_used = [self._is_used(path) for path in self._path.glob(f"{_USER}*")]
        return any(are_used)

    def _is_used(self, path: Path) -> bool:
        with lock_file(path) as file:
            if not try_lock(file):
                return True
        with suppress(OSError):
            path.unlink()
        return False


def write_running(file: FileIO, running: Running) -> None:
    """Describes the Azurite in the file of `lock_running`."""
    file.write(json.dumps(asdict(running)).encode())


def lock_file(path: Path) -> FileIO:
    """Opens a file for its owner alone: whoever can open a file can lock it.

    Raises:
        ConfigurationError: it cannot be opened.
    """
    with usable(path):
        return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600), "r+")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Runs the block while no other process runs one with the same file.

    Raises:
        ConfigurationError: the file cannot be locked, or not in time.
    """
    with lock_file(path) as file:
        wait_for_lock(file, path)
        yield


def wait_for_lock(file: FileIO, path: Path) -> None:
    """Raises `ConfigurationError` if the file cannot be locked, or not in time."""
    deadline = time.monotonic() + _LOCK_SECONDS
    with usable(path):
        while not try_lock(file):
            if time.monotonic() >= deadline:
                raise ConfigurationError(
                    f"Another process of durablehost has locked {path} for {_LOCK_SECONDS} seconds: end it."
                )
            time.sleep(_POLL_SECONDS)


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turns the errors of the file system into a `ConfigurationError` that names the path."""
    try:
        yield
    except OSError as error:
        advice = (
            " Copy the app to a folder in which you can write, or set its storage to an account in Azure."
            if error.errno in _NOT_WRITABLE
            else ""
        )
        raise ConfigurationError(f"{path} cannot be used: {error.strerror or error}.{advice}") from error


def _parsed(content: bytes) -> Running:
    document = json.loads(content)
    return Running(**{**document, "ports": Ports(**document["ports"])})
