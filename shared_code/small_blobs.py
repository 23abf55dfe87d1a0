"""Keeps small blobs in memory while they are read: one request each, where Polars would make several.

The rule of this file: there is no more in memory than one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from shared_code.blob_connection import BlobConnection
from shared_code.blob_download import downloading
from shared_code.files import THREADS, ReadingsFile
from shared_code.location import Location
from shared_code.reading_errors import naming

# What a batch has in memory at most, in bytes.
_BATCH: Final = 2**24


@dataclass(kw_only=True)
class SmallBlobs:
    """Blobs of one location, a batch at a time: the last batch is kept, because a query may read it more than once."""

    location: Location
    connection: BlobConnection
    _held: dict[str, bytes] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def contents(self, batch: Sequence[ReadingsFile]) -> dict[str, bytes]:
        """The bytes of each blob of the batch, by its path.

        Raises:
            ReadingsError: one cannot be downloaded, or is no longer as it was listed.
        """
        with self._lock:
            if not all(file.path in self._held for file in batch):
                self._held = {}  # before the next one needs its room
                self._held = self._download(batch)
            return self._held

    def _download(self, batch: Sequence[ReadingsFile]) -> dict[str, bytes]:
        with ExitStack() as stack:
            with naming(self.location.text, self.connection.secrets):
                download = stack.enter_context(downloading(self.location, self.connection))

            def read(file: ReadingsFile) -> bytes:
                with naming(file.path, self.connection.secrets):
                    return download(file, file.size)

            with ThreadPoolExecutor(min(THREADS, len(batch))) as threads:
                return dict(zip((file.path for file in batch), threads.map(read, batch), strict=True))


def batches(files: Sequence[ReadingsFile]) -> list[list[ReadingsFile]]:
    """The files in their order, in batches that fit into memory together."""
    made: list[list[ReadingsFile]] = []
    room = 0
    for file in files:
        if not made or file.size > room:
            made.append([])
            room = _BATCH
        made[-1].append(file)
        room -= file.size
    return made
