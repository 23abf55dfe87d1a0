"""Sees to it that the storage of the app answers, by starting Azurite where that is what is missing.

Azurite's data stays with the app, in `.local/azurite` below the script root: instances survive a restart of the host.
"""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from devhost import azurite
from devhost.azurite import Azurite, Ports
from devhost.console import Console
from devhost.errors import ConfigurationError, StorageUnavailable
from devhost.local_folder import make_local_folder
from devhost.storage.check import check_connection
from devhost.storage.connection import ConnectionString, Endpoints, connection_endpoints
from devhost.storage.options import StorageOptions

DATA_FOLDER = "azurite"

_ADVICE_ELSEWHERE = "Check the storage connection string and the network."
_ADVICE_PARTIAL = "Another program uses these ports, or Azurite runs without all of its services."


async def ensure_storage(
    options: StorageOptions, *, script_root: Path, starts_azurite: bool, console: Console
) -> Azurite | None:
    """Returns once the storage answers; the Azurite that had to be started for it, if any, is the caller's to stop.

    Raises:
        ConfigurationError: it does not answer; the message says what to do.
    """
    ports = _emulator_ports(options)
    listening = azurite.listening(ports) if ports else []
    if ports is None or listening:
        await _check(options, _ADVICE_PARTIAL if listening else _ADVICE_ELSEWHERE)
        return None
    if not starts_azurite:
        raise ConfigurationError(
            f"The storage emulator does not answer on {_shown(ports)}. "
            "Start Azurite (`npx azurite`), or leave out --no-azurite so that devhost starts it."
        )
    started = await _start_azurite(ports, script_root, console)
    try:
        await _check(options, f"Azurite's log is {started.log_file}.")
    except BaseException:
        started.stop()
        raise
    return started


async def _check(options: StorageOptions, advice: str) -> None:
    try:
        await check_connection(options)
    except StorageUnavailable as error:
        raise ConfigurationError(f"The storage cannot be used. {error} {advice}") from error


async def _start_azurite(ports: Ports, script_root: Path, console: Console) -> Azurite:
    location = make_local_folder(script_root) / DATA_FOLDER
    console.log(f"Nothing answers on {_shown(ports)}: starting Azurite, with its data in {location}.")
    # Not abandoned on cancellation: nobody would stop an Azurite that comes up afterwards.
    return await anyio.to_thread.run_sync(
        lambda: azurite.start(location=location, ports=ports, folders=[script_root, Path.cwd()])
    )


def _emulator_ports(options: StorageOptions) -> Ports | None:
    """The ports Azurite has to answer on; None where the storage is elsewhere."""
    if not isinstance(options.connection, ConnectionString):
        return None
    endpoints = connection_endpoints(options.connection.text)
    return _ports(endpoints) if endpoints.is_emulator else None


def _shown(ports: Ports) -> str:
    return ", ".join(f"{azurite.HOST}:{port}" for port in astuple(ports))


def _ports(endpoints: Endpoints) -> Ports:
    return Ports(
        blob=urlsplit(endpoints.blob).port or Ports().blob,
        queue=urlsplit(endpoints.queue).port or Ports().queue,
        table=urlsplit(endpoints.table).port or Ports().table,
    )
