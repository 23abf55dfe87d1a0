"""Folders that the app writes to: a prefix in a container, or a folder of this machine.

The rule of this file: a file is written whole or not at all, and an error names the place and never a credential.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from shared_code.blob_connection import BlobConnection, ConnectionSettingError
from shared_code.failures import LASTING_OS_ERRORS, ActivityError
from shared_code.files import StorageError, storage_errors


class FolderError(ActivityError):
    """A file cannot be written or read; the message names it."""


class Folder(Protocol):
    """Files under names with `/` in them. Every method raises `FolderError`."""

    @property
    def place(self) -> str:
        """As settings and messages name it."""

    def write(self, name: str, content: bytes) -> None:
        """Creates or replaces a file, and the folder if there is none."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""

    def sizes(self, below: str) -> dict[str, int]:
        """The number of bytes of each file in the folder `below`, by its name there."""


@dataclass(frozen=True, kw_only=True)
class LocalFolder:
    place: str

    def write(self, name: str, content: bytes) -> None:
        path = Path(self.place, name)
        # Written beside and then renamed, so that nobody reads half a file.
        half = path.with_name(f".{uuid4().hex}.half")
        with _naming(f"write {self.place}/{name}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                half.write_bytes(content)
                half.replace(path)
            finally:
                half.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        with _naming(f"read {self.place}/{name}"), suppress(FileNotFoundError):
            return Path(self.place, name).read_bytes()
        return None

    def sizes(self, below: str) -> dict[str, int]:
        with _naming(f"list {self.place}/{below}"):
            # A hidden file is one that is being written.
            paths = [path for path in Path(self.place, below).glob("*") if not path.name.startswith(".")]
            return {path.name: path.stat().st_size for path in paths}


@dataclass(frozen=True, kw_only=True)
class BlobFolder:
    """The blobs of a container whose names begin with `prefix`; the first write creates a missing container."""

    container: str
    prefix: str
    connection: BlobConnection

    @property
    def place(self) -> str:
        return f"az://{self.container}/{self.prefix}"

    def write(self, name: str, content: bytes) -> None:
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

        blob = f"{self.prefix}/{name}"
        with self._opened("write", name) as container:
            try:
                container.upload_blob(blob, content, overwrite=True)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another activity created it
                    container.create_container()
                container.upload_blob(blob, content, overwrite=True)

    def read(self, name: str) -> bytes | None:
        with self._opened("read", name) as container:
            try:
                with storage_errors():
                    return bytes(container.download_blob(f"{self.prefix}/{name}").readall())
            except FileNotFoundError:
                return None

    def sizes(self, below: str) -> dict[str, int]:
        start = f"{self.prefix}/{below}/"
        with self._opened("list", below) as container:
            return {blob.name.removeprefix(start): int(blob.size) for blob in container.list_blobs(start)}

    def forget(self, *, unchanged_for: timedelta) -> None:
        """Deletes the files that were last written so long ago."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._opened("delete", "*") as container:
            for blob in container.list_blobs(f"{self.prefix}/"):
                if datetime.now(timezone.utc) - blob.last_modified > unchanged_for:
                    with suppress(ResourceNotFoundError):  # another activity deleted it
                        container.delete_blob(blob.name)

    @contextmanager
    def _opened(self, verb: str, name: str) -> Iterator[Any]:
        with _naming(f"{verb} {self.place}/{name}"), storage_errors():
            with self.connection.container(self.container) as container:
                yield container


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Converts what the storage raises inside the block to a `FolderError` that says what failed."""
    try:
        yield
    except FileNotFoundError:
        raise FolderError(f"cannot {what}: there is no such folder, blob or container") from None
    except PermissionError:
        raise FolderError(f"cannot {what}: access denied") from None
    except StorageError as error:
        raise FolderError(f"cannot {what}: {error}", is_permanent=error.is_permanent) from None
    except ConnectionSettingError as error:
        raise FolderError(f"cannot {what}: {error}") from None
    except ValueError:
        raise FolderError(f"cannot {what}: the connection has no valid endpoint") from None
    except OSError as error:
        reason, is_permanent = error.strerror or type(error).__name__, isinstance(error, LASTING_OS_ERRORS)
        raise FolderError(f"cannot {what}: {reason}", is_permanent=is_permanent) from None
