"""Writes the results of a run: a Parquet file per chunk, and at the end the manifest, whose presence means complete.

The rule of this file: every name is made of the run and the chunk, so a repeated activity replaces its own file by the
same bytes, and no run writes to the files of another, also if it has the same instance id.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Final
from urllib.parse import quote

import polars as pl

from shared_code.blob_connection import ConnectionSettingError, connect_by
from shared_code.contracts import JsonObject, RunName, RunStart
from shared_code.failures import ActivityError
from shared_code.folders import BlobFolder, Folder, FolderError, LocalFolder
from shared_code.instants import format_instant
from shared_code.location import RESULTS, RESULTS_CONNECTION, LocationError, parse_folder
from shared_code.results import ChunkResult, RunEnd
from shared_code.windows import Window

MANIFEST: Final = "manifest.json"
BEGINNING: Final = "run.json"

_LONGEST_NAME: Final = 200  # in file systems, 255 bytes
_THREADS: Final = 8  # as many as the SDK keeps connections for
_VERSION: Final = 1  # of the form of the manifest
_TIME: Final = pl.Datetime("us", "UTC")
_SCHEMA: Final = pl.Schema(
    {
        **{"chunk_id": pl.Int32(), "start": _TIME, "end": _TIME, "series": pl.String(), "count": pl.Int64()},
        **dict.fromkeys(("mean", "std", "min", "max", "mean_low"), pl.Float64()),
        **{"nulls": pl.Int64(), "non_finite": pl.Int64()},
    }
)


class ResultsError(ActivityError):
    """The results of a run cannot be written; the message names the place or the setting."""


@dataclass(frozen=True, kw_only=True)
class StoredResults:
    """The results of all runs, each in a folder of its own."""

    folder: Folder

    def begin(self, start: RunStart) -> None:
        """Writes what run this is, so that a place where nothing can be written fails the run before its first chunk.

        The chunks that it has from an earlier run are copied from there.

        Raises:
            ResultsError: it cannot be written, or a file of the earlier run is missing.
        """
        own = _folder_of(start.run)
        with _failing():
            self.folder.write(f"{own}/{BEGINNING}", json.dumps(start.to_json(), indent=1).encode())
        if start.kept:
            copy = partial(self._copy, _folder_of(start.kept.run), own)
            with _failing(), ThreadPoolExecutor(_THREADS) as threads:
                deque(threads.map(copy, start.kept.chunk_ids), maxlen=0)

    def _copy(self, earlier: str, own: str, chunk_id: int) -> None:
        name = _file_of(chunk_id)
        content = self.folder.read(f"{earlier}/{name}")
        if content is None:
            raise ResultsError(f"the file {self.folder.place}/{earlier}/{name} of the earlier run is missing")
        self.folder.write(f"{own}/{name}", content)

    def write_chunk(self, run: RunName, result: ChunkResult) -> None:
        """Writes the statistics of a chunk, one row per series.

        Raises:
            ResultsError: it cannot be written.
        """
        of_chunk = {"chunk_id": result.chunk_id, "start": result.start, "end": result.end}
        rows = [{**of_chunk, "series": name, **one.to_json()} for name, one in sorted(result.statistics.items())]
        content = BytesIO()
        pl.DataFrame(rows, schema=_SCHEMA).write_parquet(content)
        with _failing():
            self.folder.write(f"{_folder_of(run)}/{_file_of(result.chunk_id)}", content.getvalue())

    def write_manifest(self, end: RunEnd) -> JsonObject:
        """Writes the manifest, and returns where the results are, as the output of the run shows it.

        Raises:
            ResultsError: the file of a chunk is missing, or the manifest cannot be written.
        """
        below = _folder_of(end.run)
        place = f"{self.folder.place}/{below}"
        with _failing():
            sizes = self.folder.sizes(below)
            files = [_entry(chunk_id, window, place, sizes) for chunk_id, window in end.succeeded]
            manifest = {
                "version": _VERSION,
                "instance_id": end.run.instance_id,
                "started": format_instant(end.run.started),
                **{name: value for name, value in end.output.items() if name != "results"},
                "records": end.records,
                "files": files,
                "failed_chunks": [failure.to_json() for failure in end.failures],
            }
            self.folder.write(f"{below}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
        return {"location": place, "manifest": f"{place}/{MANIFEST}", "files": len(files), "records": end.records}


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except FolderError as error:
        raise ResultsError(str(error), is_permanent=error.is_permanent) from None


def open_results(environment: Mapping[str, str]) -> StoredResults | None:
    """The results at the place that the app settings name; None if they name none.

    Raises:
        ResultsError: a setting is missing or not valid.
    """
    text = environment.get(RESULTS, "").strip()
    if not text:
        return None
    try:
        location = parse_folder(text, RESULTS)
        if location.container is None:
            return StoredResults(folder=LocalFolder(place=text.rstrip("/") or "/"))
        connection = connect_by(RESULTS_CONNECTION, environment)
    except LocationError as error:
        raise ResultsError(str(error)) from None
    except ConnectionSettingError as error:
        raise ResultsError(f"cannot write to {text}: {error}") from None
    prefix = location.pattern.strip("/")
    return StoredResults(folder=BlobFolder(container=location.container, prefix=prefix, connection=connection))


def _folder_of(run: RunName) -> str:
    """Made of the instance id and the time at which the run began, because an id may be used again.

    Every character that a file system or a URL may treat in its own way becomes its code after `~`. The end of a long
    name becomes a hash after `~`.
    """
    name = quote(run.instance_id, safe="@=+,").replace("~", "%7E").replace("%", "~")
    if name.endswith("."):
        name = f"{name[:-1]}~2E"
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 33]}~{sha256(name.encode()).hexdigest()[:32]}"
    return f"{name}/{run.started:%Y%m%dT%H%M%S.%f}Z"


def _entry(chunk_id: int, window: Window, place: str, sizes: Mapping[str, int]) -> JsonObject:
    name = _file_of(chunk_id)
    if name not in sizes:
        raise ResultsError(f"the file {place}/{name} is missing, although its chunk succeeded")
    bounds = {"start": format_instant(window.start), "end": format_instant(window.end)}
    return {"name": name, "chunk_id": chunk_id, **bounds, "bytes": sizes[name]}


def _file_of(chunk_id: int) -> str:
    return f"{chunk_id:05}.parquet"
