"""The clients of the three storage services, and what the services' refusals mean.

Rule of this file: SDK exceptions are translated here and nowhere else; `translated` is put around every request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

from devhost.errors import StorageError, StorageUnavailable
from devhost.storage.connection import (
    Connection,
    ConnectionString,
    Endpoints,
    IdentityConnection,
    connection_endpoints,
    credential_of,
)

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_RETRIES = 2
_RETRY_SECONDS = 1
_CONNECT_SECONDS = 5
_READ_SECONDS = 30


class Missing(StorageError):
    """404: the row, message, queue, table or blob is not there."""


class Conflict(StorageError):
    """409 or 412, or a stale pop receipt: it is there already, or it is not what it was when it was read."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """One client for each service; each has one pool of connections."""

    queues: QueueServiceClient
    tables: TableServiceClient
    blobs: BlobServiceClient
    endpoints: Endpoints


def default_transport() -> AioHttpTransport:
    """What requests are sent with; each service has one, with a pool of connections."""
    return AioHttpTransport(
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        # By default every request looks for proxies in the environment, which costs as much as the request itself.
        use_env_settings=False,
    )


@asynccontextmanager
async def open_services(
    connection: Connection, make_transport: Callable[[], AioHttpTransport] = default_transport
) -> AsyncIterator[Services]:
    """Clients for the three services, closed at the end of the block. Sends nothing yet."""
    async with AsyncExitStack() as stack:
        if isinstance(connection, ConnectionString):
            endpoints = connection_endpoints(connection.text)
            credential: Any = credential_of(connection.text)
        else:
            endpoints = connection.endpoints
            credential = await stack.enter_async_context(_identity(connection))
        yield Services(
            queues=await stack.enter_async_context(
                QueueServiceClient(endpoints.queue, credential, transport=make_transport(), retry_policy=_retry())
            ),
            tables=await stack.enter_async_context(
                TableServiceClient(
                    endpoint=endpoints.table,
                    credential=credential,
                    transport=make_transport(),
                    retry_total=_RETRIES,
                    retry_backoff_factor=_RETRY_SECONDS / 4,
                )
            ),
            blobs=await stack.enter_async_context(
                BlobServiceClient(endpoints.blob, credential, transport=make_transport(), retry_policy=_retry())
            ),
            endpoints=endpoints,
        )


def _identity(connection: IdentityConnection) -> AsyncTokenCredential:
    # Imported here: it is slow to import, and the emulator has no use for it.
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=connection.client_id)


def _retry() -> LinearRetry:
    # The SDK's own first retry comes after 15 seconds; whoever calls devhost's storage backs off by itself.
    # The queue package has the same class, but keeps it private.
    return LinearRetry(backoff=_RETRY_SECONDS, retry_total=_RETRIES, random_jitter_range=0)


@contextmanager
def translated() -> Iterator[None]:
    """Turns what the SDKs raise into `StorageError`s.

    Raises:
        Missing, Conflict: for the caller within this package.
        StorageUnavailable: no answer, a 5xx, or too many requests.
        StorageError: any other refusal.
    """
    try:
        yield
    except ResourceNotFoundError as error:
        raise Missing(_reason(error)) from error
    except (ResourceExistsError, ResourceModifiedError) as error:
        raise Conflict(_reason(error)) from error
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError) as error:
        raise StorageUnavailable(_reason(error)) from error
    except HttpResponseError as error:
        raise _of_status(error) from error
    except AzureError as error:
        raise StorageError(_reason(error)) from error


def _of_status(error: HttpResponseError) -> StorageError:
    status = error.status_code or 0
    if status == 404:
        return Missing(_reason(error))
    if status in (409, 412) or getattr(error, "error_code", None) == "PopReceiptMismatch":
        return Conflict(_reason(error))
    if status >= 500 or status in (408, 429):
        return StorageUnavailable(_reason(error))
    return StorageError(_reason(error))


def _reason(error: AzureError) -> str:
    # aiohttp names its TLS setting in every failed connection, plain HTTP included.
    text = str(error.message or error).replace(" ssl:default", "").strip()
    return text.splitlines()[0] if text else type(error).__name__
