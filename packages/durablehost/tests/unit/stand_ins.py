"""Programs that stand in for Node and Azurite."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.emulator import choice, installation
from durablehost.emulator.azurite import Ports
from durablehost.storage.account import connection

# Understands Azurite's options as far as the tests need, and listens as it does.
LISTENING_EMULATOR = """
import signal, socket, sys
ports = [int(sys.argv[sys.argv.index(f"--{service}Port") + 1]) for service in ("blob", "queue", "table")]
sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]
print(" ".join(sys.argv[1:]), flush=True)
print("Azurite Some service is successfully listening\\n" * 3, flush=True)
signal.pause()
"""


def write_program(path: Path, source: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{source}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def use_stand_in(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ports:
    """Puts a stand-in for Azurite on PATH, with a cache of the test; returns its own usual ports: others are in use."""
    write_program(tmp_path / "bin" / "azurite", source)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    # The cache of processes that a test starts, and that of this one.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (installation, choice):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    ports = emulator.free_ports()
    monkeypatch.setattr(choice, "USUAL_PORTS", ports)
    monkeypatch.setattr(connection, "_PORTS", asdict(ports))
    return ports


@contextmanager
def listening_to(*ports: int) -> Iterator[None]:
    """Another program that has these ports."""
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield
