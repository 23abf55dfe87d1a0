"""The clients of the three storage services: the official SDK's, and our own for frequent requests.

Rule of this file: SDK exceptions are translated here and nowhere else; `translated` is put around every request of the
SDK. Both kinds of clients share the connections to a service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient, LinearRetry
from azure.storage.queue.aio import QueueServiceClient

from durablehost.errors import StorageError, StorageUnavailable, StorageUnreachable
from durablehost.storage.account.connection import (
    Connection,
    ConnectionString,
    Endpoints,
    IdentityConnection,
    connection_endpoints,
    credential_of,
)
from durablehost.storage.account.refusal import Conflict, one_line, refusal
from durablehost.storage.account.service_client import Pause, ServiceClient
from durablehost.storage.account.signing import (
    IdentitySigner,
    KeySigner,
    QueueKeySigner,
    SignatureSigner,
    Signer,
    TableKeySigner,
)

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

# They warn of each error without XML, such as Azurite's for a blob called `../x`; the error itself is reported anyway.
for _service in ("blob", "queue"):
    logging.getLogger(f"azure.storage.{_service}._shared.response_handlers").setLevel(logging.ERROR)

# Not the newest, which the SDKs send by themselves and Azurite refuses for months. Azurite 3.15 and later serve this
# one, and tables accept an identity since then.
_SDK_VERSION = "2020-12-06"
_RETRIES = 2
_RETRY_SECONDS = 1
_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_KEEP_ALIVE_SECONDS = 4
_MAX_CONNECTIONS = 64
_FIRST_DOWNLOAD_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Services:
    """The official client of each service, and our own clients of the queue and table services."""

    queues: QueueServiceClient
    tables: TableServiceClient
    blobs: BlobServiceClient
    queue_service: ServiceClient
    table_service: ServiceClient
    endpoints: Endpoints


def new_session() -> aiohttp.ClientSession:
    """A pool of connections to one service."""
    return aiohttp.ClientSession(
        # Shorter than in the emulator, which closes connections that have been idle for five seconds.
        connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Left to the SDK, and for payloads to payloads.py, which limits the size.
        auto_decompress=False,
    )


@asynccontextmanager
async def open_services(
    connection: Connection,
    *,
    new_session: Callable[[], aiohttp.ClientSession] = new_session,
    pause: Pause = asyncio.sleep,
) -> AsyncIterator[Services]:
    """Yields clients of the three services, and closes them at the end of the block. Sends nothing itself.

    `pause` waits before a request is repeated.
    """
    async with AsyncExitStack() as stack:
        if isinstance(connection, ConnectionString):
            endpoints = connection_endpoints(connection.text)
            credential: Any = credential_of(connection.text)
        else:
            endpoints = connection.endpoints
            credential = await stack.enter_async_context(_identity(connection))
        queue_session, table_session, blob_session = [await stack.enter_async_context(new_session()) for _ in range(3)]
        yield Services(
            queues=await stack.enter_async_context(
                QueueServiceClient(
                    endpoints.queue,
                    credential,
                    api_version=_SDK_VERSION,
                    transport=_Transport(queue_session, pause),
                    retry_policy=_retry(),
                )
            ),
            tables=await stack.enter_async_context(
                TableServiceClient(
                    endpoint=endpoints.table,
                    credential=credential,
                    api_version=_SDK_VERSION,
                    transport=_Transport(table_session, pause),
                    retry_total=_RETRIES,
                    retry_backoff_factor=_RETRY_SECONDS / 4,
                )
            ),
            blobs=await stack.enter_async_context(
                BlobServiceClient(
                    endpoints.blob,
                    credential,
                    api_version=_SDK_VERSION,
                    transport=_Transport(blob_session, pause),
                    retry_policy=_retry(),
                    # Most blobs need one request only; the rest of a larger one is read in a slot of PayloadStore.
                    max_single_get_size=_FIRST_DOWNLOAD_BYTES,
                )
            ),
            queue_service=ServiceClient(
                queue_session, endpoints.queue, _signer(credential, QueueKeySigner, endpoints.queue), pause=pause
            ),
            table_service=ServiceClient(
                table_session, endpoints.table, _signer(credential, TableKeySigner, endpoints.table), pause=pause
            ),
            endpoints=endpoints,
        )


class _Transport(AioHttpTransport):  # type: ignore[misc]  # untyped in the SDK
    """The transport of the SDK, with our sessions and pauses."""

    def __init__(self, session: aiohttp.ClientSession, pause: Pause) -> None:
        super().__init__(session=session, session_owner=False)
        self._pause = pause

    async def sleep(self, duration: float) -> None:
        await self._pause(duration)


def _signer(credential: Any, key_signer: type[KeySigner], endpoint: str) -> Signer:
    if isinstance(credential, AzureNamedKeyCredential):
        return key_signer(credential, endpoint)
    if isinstance(credential, AzureSasCredential):
        return SignatureSigner(credential)
    return IdentitySigner(credential)


def _identity(connection: IdentityConnection) -> AsyncTokenCredential:
    # Imported here, because it is slow to import and not needed for the emulator.
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=connection.client_id)


def _retry() -> LinearRetry:
    # The SDK's default waits 15 seconds before the first retry; the callers of this package back off themselves.
    # The queue package has the same class, but does not export it.
    return LinearRetry(backoff=_RETRY_SECONDS, retry_total=_RETRIES, random_jitter_range=0)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the exceptions of the SDKs into `StorageError`s.

    Raises:
        Missing, Conflict: for callers within the storage package.
        StorageUnavailable: no answer, a 5xx, or too many requests.
        StorageError: any other refusal.
    """
    try:
        yield
    except ResourceNotFoundError as error:
        raise refusal(404, getattr(error, "error_code", None), _reason(error)) from error
    except (ResourceExistsError, ResourceModifiedError) as error:
        raise Conflict(_reason(error)) from error
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError) as error:
        kind = StorageUnreachable if isinstance(error.__cause__, aiohttp.ClientConnectorError) else StorageUnavailable
        raise kind(_reason(error)) from error
    except HttpResponseError as error:
        raise refusal(error.status_code or 0, getattr(error, "error_code", None), _reason(error)) from error
    except AzureError as error:
        raise StorageError(_reason(error)) from error


def _reason(error: AzureError) -> str:
    return one_line(str(error.message or error)) or type(error).__name__
