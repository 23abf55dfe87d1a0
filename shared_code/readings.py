"""Reads the readings: the synthetic signal, or files in Azure Blob Storage or under a local path.

The rule of this file: a window's readings are scanned lazily, so that of large files only the row groups of the window
are fetched, and of small ones only a batch is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

import polars as pl

from shared_code.blob_connection import BlobConnection, ConnectionSettingError, connect_by
from shared_code.blob_download import downloading
from shared_code.columns import Columns, ColumnsError, Shape, parse_columns
from shared_code.files import (
    THREADS,
    ReadingsFile,
    current_versions,
    files_of,
    has_other_ending,
    list_files,
)
from shared_code.formats import SMALL, Contents, Download, format_of, read_contents, scan_files
from shared_code.listing import Listing
from shared_code.location import READINGS, READINGS_CONNECTION, SYNTHETIC, Location, LocationError, parse_location
from shared_code.reading_errors import READ_ERRORS, ReadingsError, naming
from shared_code.small_blobs import SmallBlobs, batches
from shared_code.synthetic import scan_signal
from shared_code.windows import Window

_MAX_WARNINGS: Final = 10
_COLUMNS: Final = Columns()
# What a version of a file contains does not change, so a process looks at each but once.
_MAX_CONTENTS_KEPT: Final = 20_000
_contents_kept: dict[tuple[ReadingsFile, Columns], Contents] = {}

Query = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Readings that are read in one scan: rows of `timestamp` (UTC), `series` (text) and `value` (float).

    `is_remote`: Polars fetches them from the storage service. `is_exact`: what is read is of the listed versions for
    sure.
    """

    scan: Callable[[list[str], Window], pl.LazyFrame]
    paths: list[str]
    window: Window
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_remote: bool = False
    is_exact: bool = False

    def collect(self, query: Query, window: Window | None = None) -> pl.DataFrame:
        """The result of `query` over the readings, or over those of a `window` within that of the part.

        Raises:
            ReadingsError: a file cannot be read; it names the first of them.
        """
        window = window or self.window
        try:
            return query(self.scan(self.paths, window)).collect(engine="streaming")
        except READ_ERRORS as error:
            # Polars does not say which of the files it was.
            for path in self.paths if len(self.paths) > 1 else []:
                with naming(path, self.secrets, is_remote=self.is_remote):
                    query(self.scan([path], window)).collect(engine="streaming")
            place = self.paths[0] if len(self.paths) == 1 else f"{len(self.paths)} files"
            with naming(place, self.secrets, is_remote=self.is_remote):
                raise error


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The files of a window as they were listed, and their readings; `listed` counts those of other windows too."""

    parts: list[Part]
    files: list[ReadingsFile] = field(default_factory=list)
    listed: int = 0
    warnings: list[str] = field(default_factory=list)
    # Of all listed files, which the other windows of a run must see alike; None if each window has its own.
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that has readings: rows of a timestamp, a series and a value."""

    location: str
    connection: BlobConnection | None = None
    columns: Columns = _COLUMNS

    @property
    def has_files(self) -> bool:
        return self.location != SYNTHETIC

    def listing(self, window: Window) -> Listing:
        """The files that can have readings of the window, by the dates in their names; none is looked into.

        Raises:
            ReadingsError: the location cannot be listed.
        """
        with naming(self.location, self._secrets):
            return Listing(files=list_files(_parsed(self.location), self.connection, window))

    def look_into(self, files: Sequence[ReadingsFile]) -> dict[ReadingsFile, Contents]:
        """What the files have; without those that cannot be read, which fail the chunks that need them."""
        found = self._look_into(files)
        return {file: contents for file, contents in found.items() if isinstance(contents, Contents)}

    def open(self, window: Window, listing: Listing | None = None) -> Reading:
        """Looks at the files of the window; the readings are read when a part is collected.

        With the listing of a run, its files count, and those whose contents it has are not looked into again.

        Raises:
            ReadingsError: the location or the metadata of a file cannot be read, or lacks the columns of readings.
        """
        if not self.has_files:
            return Reading(parts=[_in_memory(frame, window) for frame in scan_signal(window)])
        location, whole = _parsed(self.location), listing or self.listing(window)
        files = files_of(window, location, whole.files)
        # A location with dates may have no file for some windows, but none for a whole run is odd.
        warnings = [] if whole.files else [f"{location.text} has no files for the dates of the window"]
        warnings += [f"{file.path} is empty (0 bytes)" for file in files if not file.size]
        if files and len(warnings) == len(files):
            raise ReadingsError(f"cannot read {files[0].path}: it is empty (0 bytes)")
        unknown = self._look_into([file for file in files if file.size and file not in whole.contents])
        alike: dict[tuple[Shape, str], list[ReadingsFile]] = {}
        for file in files:
            contents = whole.contents.get(file) or unknown.get(file)
            if isinstance(contents, ReadingsError):
                raise contents
            if contents and not contents.has_rows:
                warnings.append(f"{file.path} has no rows")
            elif contents and (shape := self._shape(file, contents, window)):
                alike.setdefault((shape, format_of(file.path)), []).append(file)
        blobs = SmallBlobs(location=location, connection=self.connection) if self.connection else None
        return Reading(
            parts=[part for (shape, _), some in alike.items() for part in self._parts(shape, some, window, blobs)],
            files=files,
            warnings=_bounded(warnings),
            listed=len(whole.files),
            version=None if listing is None and location.has_dates else self._version(whole),
        )

    def changed(self, reading: Reading, window: Window, *, has_failed: bool) -> str | None:
        """The first file that is no longer as it was when it was listed, of those that were read.

        If reading has not failed, parts that are exact need no look.

        Raises:
            ReadingsError: the files cannot be looked up.
        """
        read = {path for part in reading.parts if has_failed or not part.is_exact for path in part.paths}
        files = [file for file in reading.files if file.path in read]
        with naming(self.location, self._secrets):
            now = current_versions(_parsed(self.location), self.connection, files, window) if files else {}
        return next((file.path for file in files if now.get(file.path) != file.version), None)

    def _version(self, listing: Listing) -> str:
        """Another one for other settings of the columns, because these make other readings of the same files."""
        if self.columns == _COLUMNS:
            return listing.version
        return sha256(f"{listing.version}{self.columns!r}".encode()).hexdigest()[:16]

    @property
    def _secrets(self) -> tuple[str, ...]:
        return self.connection.secrets if self.connection else ()

    def _look_into(self, files: Sequence[ReadingsFile]) -> dict[ReadingsFile, Contents | ReadingsError]:
        if len(_contents_kept) > _MAX_CONTENTS_KEPT:
            _contents_kept.clear()
        with ExitStack() as stack:
            download = None
            if self.connection and files:
                with naming(self.location, self._secrets):
                    download = stack.enter_context(downloading(_parsed(self.location), self.connection))
            threads = stack.enter_context(ThreadPoolExecutor(THREADS))
            return dict(zip(files, threads.map(partial(self._contents, download=download), files), strict=True))

    def _contents(self, file: ReadingsFile, download: Download | None) -> Contents | ReadingsError:
        key = (file, self.columns)
        contents = _contents_kept.get(key)
        if contents is None:
            # A name such as x.json or x.csv.bz2 is that of Parquet here, which its owner may not expect.
            place = f"{file.path} as Parquet" if has_other_ending(file.path) else file.path
            try:
                # Of a small file, Polars gets the bytes.
                with naming(place, self._secrets, is_remote=download is not None and file.size > SMALL):
                    contents = read_contents(file, self.columns, self.connection, download)
            except ReadingsError as error:
                return error
            _contents_kept[key] = contents
        return contents

    def _shape(self, file: ReadingsFile, contents: Contents, window: Window) -> Shape | None:
        """The shape of the file; None if it has no rows in the window, which then may be as they like."""
        if contents.bounds is not None and contents.bounds.is_outside(window):
            return None
        try:
            return self.columns.shape(file.path, contents.schema)
        except ColumnsError as error:
            timestamps = self.columns.timestamps_alone(contents.schema)
            if timestamps is not None:
                with naming(file.path, self._secrets, is_remote=self.connection is not None):
                    rows = scan_files({file.path: file.path}, timestamps.schema, self.connection)
                    rows = timestamps.in_window(rows, window)
                    if rows.select(pl.len()).collect(engine="streaming").item() == 0:
                        return None
            raise ReadingsError(str(error)) from None

    def _parts(self, shape: Shape, files: list[ReadingsFile], window: Window, blobs: SmallBlobs | None) -> list[Part]:
        """Files of one shape and format: the small blobs in batches, and all others together."""
        small = [file for file in files if blobs and file.size <= SMALL]
        others = [file for file in files if not blobs or file.size > SMALL]
        parts = [self._part(shape, batch, window, blobs) for batch in batches(small)]
        return [*parts, self._part(shape, others, window)] if others else parts

    def _part(self, shape: Shape, files: list[ReadingsFile], window: Window, blobs: SmallBlobs | None = None) -> Part:
        def scan(some: list[str], within: Window) -> pl.LazyFrame:
            contents = blobs.contents(files) if blobs else {}
            sources = {path: contents.get(path, path) for path in some}
            return shape.readings(scan_files(sources, shape.schema, self.connection), within)

        return Part(
            scan=scan,
            paths=[file.path for file in files],
            window=window,
            secrets=self._secrets,
            is_remote=self.connection is not None and blobs is None,
            is_exact=blobs is not None,
        )


def _in_memory(frame: pl.LazyFrame, window: Window) -> Part:
    at = pl.col("timestamp")

    def scan(_: list[str], within: Window) -> pl.LazyFrame:
        return frame if within == window else frame.filter(at.is_between(within.start, within.end, closed="left"))

    return Part(scan=scan, paths=[SYNTHETIC], window=window)


def _bounded(warnings: list[str]) -> list[str]:
    if len(warnings) <= _MAX_WARNINGS:
        return warnings
    return [*warnings[:_MAX_WARNINGS], f"and {len(warnings) - _MAX_WARNINGS} more files are empty"]


def open_source(environment: Mapping[str, str]) -> Source:
    """The source that the app settings name.

    Raises:
        ReadingsError: a setting is missing or not valid.
    """
    location = environment.get(READINGS, "").strip() or SYNTHETIC
    if location == SYNTHETIC:
        return Source(location=location)
    try:
        columns = parse_columns(environment)
    except ColumnsError as error:
        raise ReadingsError(str(error)) from None
    connection = _connection(location, environment) if _parsed(location).container else None
    return Source(location=location, connection=connection, columns=columns)


def _parsed(location: str) -> Location:
    try:
        return parse_location(location)
    except LocationError as error:
        raise ReadingsError(str(error)) from None


def _connection(location: str, environment: Mapping[str, str]) -> BlobConnection:
    try:
        return connect_by(READINGS_CONNECTION, environment)
    except ConnectionSettingError as error:
        raise ReadingsError(f"cannot read {location}: {error}") from error
