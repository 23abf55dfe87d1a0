"""The task hubs of the storage accounts that the settings name, for `durablehost console`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from durablehost.clock import Clock
from durablehost.commands.hub import client_of, receiving_nothing
from durablehost.engine.client import OrchestrationClient
from durablehost.errors import ConfigurationError, StorageError
from durablehost.settings import Settings
from durablehost.storage.account.connection import (
    Connection,
    ConnectionString,
    connection_endpoints,
    connection_from_settings,
)
from durablehost.storage.hub.listing import list_task_hubs
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.web.console.hubs import Account

# What an identity-based connection has at least one of, in lower case.
_MEMBERS = ("accountname", "tableserviceuri")


class SettingsHubs:
    """Implements `durablehost.web.console.hubs.Hubs`. What it opens is closed with the stack."""

    def __init__(self, settings: Settings, clock: Clock, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._clock = clock
        self._stack = stack
        self._connections = storage_connections(
            settings.environment, settings.storage.connection_name, settings.storage.connection
        )

    async def accounts(self) -> Sequence[Account]:
        return await asyncio.gather(*(_account(name, connection) for name, connection in self._connections.items()))

    async def open(self, connection_name: str, hub_name: str) -> OrchestrationClient | None:
        connection = self._connections.get(connection_name)
        if connection is None or hub_name not in await list_task_hubs(connection):
            return None
        options = replace(receiving_nothing(self._settings), hub_name=hub_name, connection=connection)
        hub = await self._stack.enter_async_context(open_task_hub(options, self._clock))
        return client_of(hub, self._settings, None)


async def _account(name: str, connection: Connection) -> Account:
    try:
        return Account(connection_name=name, hubs=await list_task_hubs(connection))
    except StorageError as error:
        return Account(connection_name=name, problem=str(error))


def storage_connections(environment: Mapping[str, str], own_name: str, own: Mapping[str, str]) -> dict[str, Connection]:
    """The storage connections among app settings, by name; each account once, under its first name.

    `own_name` and `own` are the name and the settings of the connection that comes first.
    """
    found = {own_name: connection_from_settings(own, own_name)}
    accounts = {_table_endpoint(found[own_name])}
    for name in _names(environment):
        try:
            connection = connection_from_settings(environment, name)
        except ConfigurationError:
            continue  # a setting of another kind
        if _table_endpoint(connection) not in accounts:
            accounts.add(_table_endpoint(connection))
            found[name] = connection
    return found


def _names(environment: Mapping[str, str]) -> Iterator[str]:
    """The names of what may be a connection."""
    for name in environment:
        base, separator, member = name.replace("__", ":").rpartition(":")
        yield base if separator and member.lower() in _MEMBERS else name


def _table_endpoint(connection: Connection) -> str:
    endpoints = (
        connection_endpoints(connection.text) if isinstance(connection, ConnectionString) else connection.endpoints
    )
    return endpoints.table.lower().rstrip("/")
