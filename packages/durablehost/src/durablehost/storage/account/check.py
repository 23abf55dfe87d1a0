"""Checks, before anything else starts, that the storage of a hub can be used."""

from __future__ import annotations

from collections.abc import Awaitable

from azure.core.exceptions import ClientAuthenticationError

from durablehost.errors import ConfigurationError, StorageError, StorageUnavailable
from durablehost.storage.account.connection import Connection
from durablehost.storage.account.services import open_services, translated


async def check_connection(connection: Connection) -> None:
    """Returns when all three services have answered.

    Raises:
        StorageUnavailable: a service does not answer, or does not work; the message is one line that names it.
        ConfigurationError: a service refuses the credentials, or there is no identity to get a token for.
    """
    async with open_services(connection) as services:
        endpoints = services.endpoints
        await _check(f"Queue service at {_shown(endpoints.queue)}", services.queues.get_service_properties())
        await _check(f"Table service at {_shown(endpoints.table)}", services.tables.get_service_properties())
        await _check(f"Blob service at {_shown(endpoints.blob)}", services.blobs.get_service_properties())


def _shown(endpoint: str) -> str:
    """The endpoint without its query, which may contain a signature."""
    return endpoint.partition("?")[0]


async def _check(service: str, request: Awaitable[object]) -> None:
    try:
        with translated():
            await request
    except StorageUnavailable as error:
        raise StorageUnavailable(f"The {service} does not answer: {error}") from error
    except StorageError as error:
        if isinstance(error.__cause__, ClientAuthenticationError):
            if error.__cause__.response is None:
                raise ConfigurationError(
                    f"There is no Microsoft Entra identity for the {service}: log in to Azure, for example with "
                    "`az login`, or set the storage connection to a connection string."
                ) from error
            raise ConfigurationError(f"The {service} refuses the credentials of the storage connection.") from error
        raise StorageUnavailable(f"The {service} does not work: {error}") from error
