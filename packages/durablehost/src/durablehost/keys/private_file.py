"""Files that only their owner can read: at no moment readable by others when written, and checked when read.

On Windows, where files have no mode, the access list is reduced to the owner before anything is written.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from durablehost.errors import ConfigurationError

_OWNER_ONLY = 0o600
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# A link could lead to a file of somebody else, and opening a pipe would wait for its writer.
_READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_private(path: Path, warnings: list[str]) -> str | None:
    """The text of the file; None if there is none. A file that others could read is closed to them, with a warning.

    Raises:
        ConfigurationError: somebody else may have put the content there.
        OSError, ValueError: it cannot be read.
    """
    try:
        descriptor = os.open(path, _READING)
    except FileNotFoundError:
        return None
    try:
        _check(descriptor, path, warnings)
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, encoding="utf-8-sig") as file:
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Writes the file as a whole: nobody ever sees a part of it, and other users can never read it.

    Raises:
        OSError: it cannot be written; the old file is kept.
    """
    # mkstemp creates the file with mode 600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            _close_to_others(name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _check(descriptor: int, path: Path, warnings: list[str]) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a plain file; remove it, and durablehost makes a new one.")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user; remove it, and durablehost makes a new one.")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise ConfigurationError(f"{path} can be written by other users; remove it, and durablehost makes a new one.")
    if status.st_mode & _OF_OTHERS:
        os.fchmod(descriptor, _OWNER_ONLY)
        warnings.append(
            f"{path} was readable by other users, who may know the keys now; it is not any more. "
            "Remove it, and durablehost makes new keys at the next start."
        )


def _close_to_others(name: str) -> None:
    if sys.platform == "win32":
        # S-1-3-4 is the owner of the file, whatever the name of the user.
        command = ["icacls", name, "/inheritance:r", "/grant:r", "*S-1-3-4:F"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            raise OSError(f"icacls ended with code {done.returncode}")
