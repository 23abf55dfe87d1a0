"""Payloads that are too large for a queue or a table: gzip blobs in the hub's container of large messages.

The container is created when the first of them is stored. Compression runs in threads, and only for a few payloads at
a time: each may take hundreds of megabytes. Mirrors the blob half of DurableTask.AzureStorage's MessageManager.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from urllib.parse import quote, unquote

from azure.storage.blob.aio import ContainerClient

from devhost.errors import PayloadTooLarge, StorageError
from devhost.storage.refusal import Conflict, Missing
from devhost.storage.services import translated

# A request of 100 MiB, with each of its characters escaped twice, still fits.
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
        self._turns = asyncio.Semaphore(_MAX_AT_ONCE)

    async def upload(self, name: str, text: str) -> None:
        """Stores a text.

        Raises:
            PayloadTooLarge: nothing was stored.
        """
        async with self._turns:
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
            PayloadTooLarge: it holds more than devhost reads.
            StorageError: there is no such blob, or it does not hold text.
        """
        if not is_blob_name(name):
            raise Missing(f"No blob can be called {name!a:.100}.")
        with translated():
            # Not decompressed on the way, where nothing bounds it, even if the blob has a Content-Encoding.
            download = await self._container.download_blob(name, decompress=False)
        if download.size > MAX_PAYLOAD_BYTES:
            raise _too_large(name)
        async with self._turns:
            with translated():
                data = await download.readall()
            return await asyncio.to_thread(decompress, name, data)

    def url_of(self, name: str) -> str:
        """How the table of instances refers to a blob."""
        return f"{self._url}/{quote(name, safe='/')}"

    def name_of(self, text: str) -> str | None:
        """The blob that a column of the table of instances refers to; None where the text is no such reference."""
        prefix = f"{self._url}/"
        return unquote(text[len(prefix) :]) if text.startswith(prefix) else None

    async def delete_all(self, prefix: str) -> None:
        """Deletes every blob whose name starts with this; none is fine."""
        try:
            with translated():
                names = [name async for name in self._container.list_blob_names(name_starts_with=prefix)]
        except Missing:
            return
        for name in names:
            await self._delete(name)

    async def _delete(self, name: str) -> None:
        try:
            with translated():
                await self._container.delete_blob(name)
        except Missing:
            return


def compress(name: str, text: str) -> bytes:
    """The text in gzip format. `name` is that of its blob.

    Raises:
        PayloadTooLarge: the text has more bytes than may be stored.
    """
    stored = io.BytesIO()
    size = 0
    # No level beyond the first: the text is on its way, and local disk space is cheap.
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
        PayloadTooLarge: the text has more bytes than are read; hardly more than these were decompressed.
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
        f"The payload {name} is larger than {MAX_PAYLOAD_BYTES} bytes, the most that devhost stores or reads."
    )


def is_blob_name(name: str) -> bool:
    """Whether a blob can have this name: another one would change the address it is asked for under."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return 0 < len(name) <= _LONGEST_BLOB_NAME
