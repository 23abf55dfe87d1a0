"""Makes sure that the storage of the app answers, and starts Azurite if that is the storage and does not run.

`UseDevelopmentStorage=true` means an Azurite with a key and ports of the app's own, whose connection string replaces
that value in all settings; with `--shared-azurite` it means the usual ports and the published key. Azurite's data
stays with the app, in `.local/azurite` below the script root: instances survive a restart of the host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import anyio

from durablehost.console import Console
from durablehost.emulator.azurite import ACCOUNT_KEY, Ports, accounts_with
from durablehost.emulator.choice import Chosen, Say, use_on_ports, use_own
from durablehost.errors import ConfigurationError, StorageUnavailable
from durablehost.settings import Settings
from durablehost.storage.account.check import check_connection
from durablehost.storage.account.connection import (
    Connection,
    ConnectionString,
    Endpoints,
    account_key,
    connection_endpoints,
    connection_from_settings,
    is_development_storage,
)

_ADVICE_ELSEWHERE = "Check the storage connection string and the network."
_ADVICE_FOREIGN = "Another program uses these ports, or Azurite runs without all of its services."
_ADVICE_VERSION = "Update this Azurite, or start it with --skipApiVersionCheck."
_OPEN_TO_ALL = (
    "The key of this Azurite is published: web pages, and other users of this machine, can change its data and so run "
    "activities of this app (docs/security.md)."
)


@dataclass(frozen=True, kw_only=True)
class _Storage:
    """`chosen` None: the storage is no emulator."""

    settings: Settings
    chosen: Chosen | None = None


@asynccontextmanager
async def usable_storage(settings: Settings, console: Console, *, is_host: bool = False) -> AsyncIterator[Settings]:
    """Yields the settings, with the app's own Azurite in place of `UseDevelopmentStorage=true`.

    The storage answers. An Azurite that runs for the app does so until the end of the block at least. A host says whose
    it is.

    Raises:
        ConfigurationError: the storage does not answer; the message says what to do.
    """
    # Not abandoned on cancellation: nobody would end the use of the Azurite that starts afterwards.
    storage = await anyio.to_thread.run_sync(_choose, settings, console.log)
    try:
        connection = _connection(storage.settings)
        await _check(connection, _advice(storage.chosen))
        if is_host:
            _say_origin(storage.chosen, connection, console)
        yield storage.settings
    finally:
        if storage.chosen is not None and storage.chosen.use is not None:
            storage.chosen.use.end()


def has_own_azurite(settings: Settings) -> bool:
    """Whether the storage of the app is an Azurite with a key of the app's own."""
    connection = _connection(settings)
    is_development = isinstance(connection, ConnectionString) and is_development_storage(connection.text)
    return is_development and not settings.shares_azurite


def _connection(settings: Settings) -> Connection:
    return connection_from_settings(settings.storage.connection, settings.storage.connection_name)


def _choose(settings: Settings, say: Say) -> _Storage:
    connection = _connection(settings)
    if not isinstance(connection, ConnectionString):
        return _Storage(settings=settings)
    if has_own_azurite(settings):
        own = use_own(settings.script_root, say, may_start=settings.starts_azurite)
        if own is not None:
            chosen, address = own
            return _Storage(settings=_with_connection(settings, address.connection_string), chosen=chosen)
    endpoints = connection_endpoints(connection.text)
    if not endpoints.is_emulator:
        return _Storage(settings=settings)
    account = account_key(connection)
    chosen = use_on_ports(
        _ports(endpoints),
        settings.script_root,
        say,
        accounts=None if account is None or account.key == ACCOUNT_KEY else accounts_with(account.key, account.name),
        may_start=settings.starts_azurite,
    )
    return _Storage(settings=settings, chosen=chosen)


def _with_connection(settings: Settings, text: str) -> Settings:
    """The settings with this connection string wherever the app would see `UseDevelopmentStorage=true`."""

    def replaced(values: Mapping[str, str]) -> dict[str, str]:
        return {name: text if is_development_storage(value) else value for name, value in values.items()}

    return replace(
        settings,
        environment=replaced(settings.environment),
        storage=replace(settings.storage, connection=replaced(settings.storage.connection)),
    )


async def _check(connection: Connection, advice: str) -> None:
    try:
        await check_connection(connection)
    except StorageUnavailable as error:
        if "API version" in str(error):
            advice = _ADVICE_VERSION
        raise ConfigurationError(f"The storage cannot be used. {error} {advice}") from error


def _advice(chosen: Chosen | None) -> str:
    if chosen is None:
        return _ADVICE_ELSEWHERE
    return _ADVICE_FOREIGN if chosen.use is None else f"Azurite's log is {chosen.use.log_file}."


def _say_origin(chosen: Chosen | None, connection: Connection, console: Console) -> None:
    if chosen is not None and chosen.origin:
        console.log(chosen.origin)
    account = account_key(connection)
    if account is not None and account.key == ACCOUNT_KEY:
        console.warning(_OPEN_TO_ALL)


def _ports(endpoints: Endpoints) -> Ports:
    return Ports(
        blob=urlsplit(endpoints.blob).port or Ports().blob,
        queue=urlsplit(endpoints.queue).port or Ports().queue,
        table=urlsplit(endpoints.table).port or Ports().table,
    )
