"""Payloads that are too large for a queue or a table: gzip blobs in the hub's container of large messages.

The container is created with the first of them. Compression runs in threads, for a few payloads at a time only: each
may need hundreds of megabytes. Mirrors the blob half of DurableTask.AzureStorage's MessageManager.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from azure.storage.blob.aio import ContainerClient

from durablehost.errors import PayloadTooLarge, StorageError
from durablehost.storage.account.connection import LOCAL_HOSTS
from durablehost.storage.account.refusal import Conflict, Missing
from durablehost.storage.account.services import translated
from durablehost.storage.concurrency import call_each

# Enough for a request of 100 MiB in which each character is escaped twice.
MAX_PAYLOAD_BYTES = 512 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_SIZE = 1024 * 1024
_MAX_AT_ONCE = 2
_LONGEST_BLOB_NAME = 1024


class PayloadStore:
    """Texts by blob name, which is relative to the container."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container
        self._url = container.url.partition("?")[0].rstrip("/")
        self._references = _references_to(self._url)
        self._slots = asyncio.Semaphore(_MAX_AT_ONCE)

    async def upload(self, name: str, text: str) -> None:
        """Stores a text.

        Raises:
            PayloadTooLarge: nothing was stored.
        """
        async with self._slots:
            data = await asyncio.to_thread(compress, name, text)
        try:
            await self._upload(name, data)
        except Missing:
            await self._create_container()
            await self._upload(name, data)

    async def _upload(self, name: str, data: bytes) -> None:
        with translated():
            await self._container.upload_blob(name, data, overwrite=True)

    async def _create_container(self) -> None:
        try:
            with translated():
                await self._container.create_container()
        except Conflict:
            return  # another upload was first

    async def download(self, name: str) -> str:
        """The text of a blob.

        Raises:
            PayloadTooLarge: it is larger than durablehost reads.
            StorageError: there is no such blob, or it is not text.
        """
        if not is_blob_name(name):
            raise Missing(f"No blob can be called {name!a:.100}.")
        with translated():
            # The SDK must not decompress it, even if it has a Content-Encoding: it has no limit for the size.
            download = await self._container.download_blob(name, decompress=False)
        if download.size > MAX_PAYLOAD_BYTES:
            raise _too_large(name)
        async with self._slots:
            with translated():
                data = await download.readall()
            return await asyncio.to_thread(decompress, name, data)

    def url_of(self, name: str) -> str:
        """The reference to a blob in the table of instances."""
        return f"{self._url}/{quote(name, safe='/')}"

    def name_of(self, text: str) -> str | None:
        """The blob that a text in the table of instances refers to; None if it is no such reference."""
        found = self._references.match(text)
        return unquote(text[found.end() :]) if found else None

    async def delete_all(self, prefix: str) -> None:
        """Deletes all blobs whose names start with this prefix, if any."""
        try:
            with translated():
                names = [name async for name in self._container.list_blob_names(name_starts_with=prefix)]
        except Missing:
            return
        for name in names:
            await self._delete(name)

    async def delete_each(self, names: Iterable[str]) -> None:
        """Deletes blobs that nothing refers to any more. One that cannot be deleted now stays until the purge."""
        with suppress(StorageError):
            await call_each(self._delete, names)

    async def _delete(self, name: str) -> None:
        try:
            with translated():
                await self._container.delete_blob(name)
        except Missing:
            return


def _references_to(url: str) -> re.Pattern[str]:
    """Matches the start of the references to the blobs of a container.

    The Azurite of an app may have had other ports when a reference was stored.
    """
    parts = urlsplit(url)
    if parts.hostname not in LOCAL_HOSTS:
        return re.compile(f"{re.escape(url)}/")
    return re.compile(rf"http://(?:127\.0\.0\.1|localhost|\[::1\]):\d{{1,5}}{re.escape(parts.path)}/")


def compress(name: str, text: str) -> bytes:
    """The text in gzip format; `name` is the name of its blob.

    Raises:
        PayloadTooLarge: the text has more bytes than may be stored.
    """
    stored = io.BytesIO()
    size = 0
    # The fastest level, because a message waits for it, and local disk space is cheap.
    with gzip.GzipFile(fileobj=stored, mode="wb", compresslevel=1, mtime=0) as file:
        for start in range(0, len(text), _PIECE_SIZE):
            piece = text[start : start + _PIECE_SIZE].encode("utf-8", "surrogatepass")
            size += len(piece)
            if size > MAX_PAYLOAD_BYTES:
                raise _too_large(name)
            file.write(piece)
    return stored.getvalue()


def decompress(name: str, data: bytes) -> str:
    """The text of a blob's content, which may be gzip or plain.

    Raises:
        PayloadTooLarge: the text is larger than durablehost reads; decompression stopped at the limit.
        StorageError: the content is not text.
    """
    try:
        if not data.startswith(_GZIP_MAGIC):
            return data.decode("utf-8", "surrogatepass")
        plain = bytearray()
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while piece := file.read(_PIECE_SIZE):
                plain += piece
                if len(plain) > MAX_PAYLOAD_BYTES:
                    raise _too_large(name)
        return plain.decode("utf-8", "surrogatepass")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StorageError(f"The blob {name} cannot be read: {error}") from error


def _too_large(name: str) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The payload {name} is larger than {MAX_PAYLOAD_BYTES} bytes, the most that durablehost stores or reads."
    )


def is_blob_name(name: str) -> bool:
    """Whether a blob can have this name."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return 0 < len(name) <= _LONGEST_BLOB_NAME
