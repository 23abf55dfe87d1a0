"""Records the listing of a run, for all its chunks, in the storage of the host.

A listing may have thousands of names, too many for the input of every chunk, so chunks get its version alone. The rule
of this file: what a version of a file contains is kept for later runs, which look into new files only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

import polars as pl

from shared_code.blob_connection import HOST_CONNECTION, ConnectionSettingError, connect
from shared_code.folders import BlobFolder, FolderError
from shared_code.listing import Listing, read_listing
from shared_code.reading_errors import ReadingsError
from shared_code.readings import Source
from shared_code.windows import Window

_CONTAINER: Final = "durablefuncdemo-listings"
_LATEST: Final = "latest"
# Longer than any run; a chunk whose listing is gone says so.
_KEPT: Final = timedelta(days=30)
# After so many files, what they contain is stored, so that the next attempt goes on if this one is ended.
_BATCH: Final = 2_000
# A process has chunks of a few runs at a time.
_MOST_IN_MEMORY: Final = 4
_in_memory: dict[tuple[str, str], Listing] = {}


@dataclass(frozen=True, kw_only=True)
class ListingStore:
    """The listings of one source."""

    source: Source
    folder: BlobFolder

    def record(self, window: Window) -> Listing:
        """Lists the files of the window, looks into the new ones, and stores the listing.

        Raises:
            ReadingsError: the files cannot be listed, or the listing cannot be stored.
        """
        files = self.source.listing(window).files
        latest = self._load(_LATEST)
        contents = {file: latest.contents[file] for file in files if file in latest.contents} if latest else {}
        new = [file for file in files if file.size and file not in contents]
        for first in range(0, len(new), _BATCH):
            contents |= self.source.look_into(new[first : first + _BATCH])
            self._save(_LATEST, Listing(files=files, contents=contents))
        listing = Listing(files=files, contents=contents)
        self._save(listing.version, listing)
        return listing

    def load(self, version: str) -> Listing:
        """The listing that was recorded at the beginning of a run.

        Raises:
            ReadingsError: it cannot be read, or is gone.
        """
        key = (self.folder.place, version)
        listing = _in_memory.get(key)
        if listing is None:
            listing = self._load(version)
            if listing is None:
                raise ReadingsError(
                    f"the list of the files of {self.source.location} that this run has recorded is gone;"
                    " if settings of the readings have changed, run it again"
                )
            while len(_in_memory) >= _MOST_IN_MEMORY:
                _in_memory.pop(next(iter(_in_memory)), None)
            _in_memory[key] = listing
        return listing

    def _load(self, name: str) -> Listing | None:
        try:
            content = self.folder.read(f"{name}.parquet")
            return read_listing(content) if content else None
        except FolderError as error:
            raise ReadingsError(str(error), is_permanent=error.is_permanent) from None
        except pl.exceptions.PolarsError:
            return None  # of another version of the app

    def _save(self, name: str, listing: Listing) -> None:
        try:
            self.folder.write(f"{name}.parquet", listing.to_parquet())
            self.folder.forget(unchanged_for=_KEPT)
        except FolderError as error:
            reason = f"the list of the files of {self.source.location} cannot be stored: {error}"
            raise ReadingsError(reason, is_permanent=error.is_permanent) from None


def open_listings(source: Source, environment: Mapping[str, str]) -> ListingStore:
    """The listings of the source, in the storage of the host.

    Raises:
        ReadingsError: its setting is missing or not valid.
    """
    try:
        connection = connect(HOST_CONNECTION, environment)
    except ConnectionSettingError as error:
        raise ReadingsError(f"the list of the files of {source.location} cannot be stored: {error}") from None
    # What a file contains depends on the settings of its columns, and on Polars.
    account = source.connection.storage_options["azure_endpoint"] if source.connection else ""
    made_of = "\0".join([str(account), source.location, repr(source.columns), pl.__version__])
    key = sha256(made_of.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return ListingStore(source=source, folder=BlobFolder(container=_CONTAINER, prefix=key, connection=connection))
