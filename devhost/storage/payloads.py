"""Payloads that are too large for a queue or a table: gzip blobs in the hub's container of large messages.

The container is created when the first of them is stored. Mirrors the blob half of DurableTask.AzureStorage's
MessageManager.
"""

from __future__ import annotations

import gzip
import zlib
from urllib.parse import quote, unquote

from azure.storage.blob.aio import ContainerClient

from devhost.errors import StorageError
from devhost.storage.refusal import Conflict, Missing
from devhost.storage.services import translated

_GZIP_MAGIC = b"\x1f\x8b"


class PayloadStore:
    """Texts by blob name, which is relative to the container."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container
        self._url = container.url.partition("?")[0].rstrip("/")

    async def upload(self, name: str, text: str) -> None:
        # No level beyond the first: the text is on its way, and local disk space is cheap.
        data = gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=1)
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
            StorageError: there is no such blob, or it does not hold text.
        """
        with translated():
            download = await self._container.download_blob(name)
            data = await download.readall()
        try:
            # Whoever stores the blob with a Content-Encoding has it decoded on the way.
            plain = gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
            return plain.decode("utf-8", "surrogatepass")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise StorageError(f"The blob {name} cannot be read: {error}") from error

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
