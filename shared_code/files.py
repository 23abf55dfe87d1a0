"""Lists the files of a location with their versions: blobs by their ETags, local files by what `stat` says.

The rule of this file: one listing per call, of no more names than the window needs, and in the order of the names.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Final, NoReturn

from shared_code.blob_connection import BlobConnection
from shared_code.failures import ActivityError
from shared_code.location import Location
from shared_code.windows import Window

THREADS: Final = 8  # as many as the SDK keeps connections for

# In a folder, other files are beside the readings: markers, logs, checksums.
_HIDDEN: Final = (".", "_")
_ENDINGS: Final = (".parquet", ".csv", ".ndjson", ".jsonl")
COMPRESSED: Final = (".gz", ".zst")
# One listing of 5,000 names takes about as long as so many requests about single blobs.
_MOST_LOOKED_UP: Final = 100
# Answers that the same request would get again: not valid, or not allowed.
_REFUSALS: Final = frozenset({400, 401, 403})
# So are some conflicts (409): the blob is in the archive, or encrypted with another key; no public access at all.
LASTING_CODES: Final = frozenset(
    {"BlobArchived", "BlobBeingRehydrated", "BlobUsesCustomerSpecifiedEncryption", "PublicAccessNotPermitted"}
)
_SDK_LOGGER: Final = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")


class StorageError(ActivityError):
    """The storage service refused a request or cannot be reached; the message has the reason."""


@dataclass(frozen=True, kw_only=True)
class ReadingsFile:
    """A file as it was listed; `path` is what Polars opens and what messages name."""

    path: str
    version: str
    size: int


def list_files(location: Location, connection: BlobConnection | None, window: Window) -> list[ReadingsFile]:
    """The files of the location that can have readings of the window, by the dates in their names.

    Raises:
        FileNotFoundError: the location has no file at all, or its container does not exist.
        StorageError, OSError: it cannot be listed.
        ValueError: it has a link to nothing or a name that is not UTF-8, or is a folder without readings.
    """
    listed = list(_blobs(location, connection, window) if connection else _local(location, window))
    # A location with dates may well have no file for one window.
    if not listed and not location.has_dates:
        if _is_folder_of_others(location, connection):
            raise ValueError(f"no name in this folder ends with {', '.join(_ENDINGS)} (hidden files do not count)")
        raise FileNotFoundError
    return sorted(files_of(window, location, listed), key=lambda file: file.path)


def files_of(window: Window, location: Location, files: Iterable[ReadingsFile]) -> list[ReadingsFile]:
    """Those of the files of the location that can have readings of the window, by the dates in their names."""
    if not location.has_dates:
        return list(files)
    matcher = location.matcher()
    matches = ((file, matcher.fullmatch(name_of(file, location))) for file in files)
    return [file for file, match in matches if match is None or location.may_contain(match, window)]


def current_versions(
    location: Location, connection: BlobConnection | None, files: Sequence[ReadingsFile], window: Window
) -> dict[str, str]:
    """The present versions of files of the window, by their paths; without the files that are gone.

    Raises:
        StorageError, OSError: they cannot be looked up.
    """
    if connection and len(files) > _MOST_LOOKED_UP:
        return {file.path: file.version for file in _blobs(location, connection, window)}
    found = _look_up_blobs(location, connection, files) if connection else [_look_up(file.path) for file in files]
    return {file.path: file.version for file in found if file}


def name_of(file: ReadingsFile, location: Location) -> str:
    """As the pattern of the location has it."""
    return file.path.removeprefix(f"az://{location.container}/") if location.container else file.path


def _is_readings(name: str, folder: str) -> bool:
    """Whether a name below a folder is that of readings; hidden files and folders are not."""
    inside = name[len(folder.rstrip("/")) :].strip("/")
    if not inside:
        return True
    if any(part.startswith(_HIDDEN) for part in inside.split("/")):
        return False
    return not has_other_ending(inside)


def has_other_ending(name: str) -> bool:
    """Whether the name ends with none of the endings of readings."""
    return not name.lower().endswith((*_ENDINGS, *(end + more for end in _ENDINGS for more in COMPRESSED)))


def _is_folder_of_others(location: Location, connection: BlobConnection | None) -> bool:
    """Whether a location without readings is a folder all the same."""
    if not connection:
        return Path(location.pattern).is_dir()
    with storage_errors(), connection.container(str(location.container)) as container:
        return any(True for _ in container.list_blobs(f"{location.pattern.rstrip('/')}/", results_per_page=1))


def _local(location: Location, window: Window) -> Iterator[ReadingsFile]:
    pattern = location.pattern
    narrowed = location.narrowed(window)
    found = [pattern] if Path(pattern).exists() else _once(glob(narrowed, recursive=True))  # noqa: PTH207 - or absolute
    folders = {path for path in found if Path(path).is_dir()}
    paths = [path.rstrip("/") for path in found if path not in folders]
    if pattern in folders or location.has_dated_folders:
        paths += [path for folder in folders for path in _readings_below(folder)]
    for path in paths:
        if not _is_utf_8(path):
            raise ValueError(f"the name {path!a} is not UTF-8")  # Polars cannot open it
        if file := _look_up(path):
            yield file
        elif Path(path).is_symlink():  # otherwise it was removed meanwhile
            raise ValueError(f"{path} is a link to nothing")


def _once(paths: list[str]) -> list[str]:
    """Each file and folder once: `**` follows links, and a folder that has a link to itself is found forty times."""
    folders: dict[Path, Path] = {}
    found: dict[Path, str] = {}
    for text in sorted(paths, key=lambda text: (text.count("/"), text)):
        path = Path(text)
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
        found.setdefault(folders[path.parent] / path.name, text)
    return list(found.values())


def _is_utf_8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readings_below(folder: str) -> Iterator[str]:
    for path in _walk(folder):
        name = f"{folder.rstrip('/')}/{path.relative_to(folder).as_posix()}"
        if _is_readings(name, folder):
            yield name


def _walk(top: str) -> Iterator[Path]:
    """The files below a folder, also in folders that are linked, but each folder once, however it is reached."""
    seen = set[Path]()
    # The error about a folder that may not be read must not look like an empty folder.
    for folder, below, names in os.walk(top, onerror=_raise, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        # None that are no readings: one of them may be a link to a folder of readings.
        below[:] = sorted(name for name in below if not name.startswith(_HIDDEN))
        yield from (Path(folder, name) for name in names)


def _raise(error: OSError) -> None:
    raise error


def _look_up(path: str) -> ReadingsFile | None:
    try:
        return _local_file(path, Path(path).stat())
    except FileNotFoundError:
        return None


def _local_file(path: str, status: os.stat_result) -> ReadingsFile:
    version = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
    return ReadingsFile(path=path, version=version, size=status.st_size)


def _blobs(location: Location, connection: BlobConnection, window: Window) -> Iterator[ReadingsFile]:
    fixed = location.fixed_part(window)
    prefix = fixed if location.is_glob else fixed.rstrip("/")
    matcher = location.matcher()
    with storage_errors(), connection.container(str(location.container)) as container:
        for blob in container.list_blobs(prefix or None, include=["metadata"], results_per_page=5_000):
            if _is_meant(blob.name, location.pattern, matcher) and not _is_folder(blob):
                yield _blob_file(f"az://{location.container}/{blob.name}", blob.etag, blob.size)


def _is_meant(name: str, pattern: str, matcher: re.Pattern[str]) -> bool:
    """Whether a blob is one of the location."""
    # First as it is written: a name may contain what is a wildcard elsewhere.
    folder = f"{pattern.rstrip('/')}/"
    if name == pattern or name.startswith(folder):
        return name == pattern or _is_readings(name, folder)
    match = matcher.fullmatch(name)
    return match is not None and _is_readings(match.groupdict().get("inside") or "", "")


def _is_folder(blob: Any) -> bool:
    """Whether it only stands for a folder, as in accounts with a hierarchical namespace, and as Hadoop makes them."""
    marks = {name.lower(): text for name, text in (blob.metadata or {}).items()}
    return bool(blob.name.endswith("/") or marks.get("hdi_isfolder", "").lower() == "true")


def _look_up_blobs(
    location: Location, connection: BlobConnection, files: Sequence[ReadingsFile]
) -> list[ReadingsFile | None]:
    with connection.container(str(location.container)) as container, ThreadPoolExecutor(THREADS) as threads:

        def look_up(file: ReadingsFile) -> ReadingsFile | None:
            try:
                with storage_errors():
                    blob = container.get_blob_client(name_of(file, location)).get_blob_properties()
            except FileNotFoundError:
                return None
            return _blob_file(file.path, blob.etag, blob.size)

        return list(threads.map(look_up, files))


def _blob_file(path: str, etag: object, size: int) -> ReadingsFile:
    # In quotes in an answer about one blob, without them in a listing.
    return ReadingsFile(path=path, version=str(etag).strip('"'), size=int(size))


def raise_refusal(status: int, code: str | None) -> NoReturn:
    """Raises what an answer with this status and error code means."""
    if status == 404:
        raise FileNotFoundError from None
    if status == 412:
        raise StorageError("it was replaced after it was listed", is_permanent=False) from None
    is_permanent = status in _REFUSALS or code in LASTING_CODES
    raise StorageError(f"the storage service answered {code or status}", is_permanent=is_permanent) from None


@contextmanager
def storage_errors() -> Iterator[None]:
    """Converts what the SDK raises inside the block to `StorageError`, or to `FileNotFoundError`."""
    # Imported here: it takes a third of a second, and only az:// locations need it.
    from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

    # One line per request, with its headers, for whoever logs at INFO, as the functions worker does.
    _SDK_LOGGER.setLevel(logging.WARNING)
    try:
        yield
    except ResourceNotFoundError as error:
        raise FileNotFoundError from error
    except HttpResponseError as error:
        if error.status_code is None:  # raised before any request: no token, or a key that is none
            raise StorageError(f"the credential cannot be used: {error.message}", is_permanent=False) from None
        code = getattr(error, "error_code", None)
        raise_refusal(error.status_code, getattr(code, "value", code))
    except AzureError as error:
        reason = f"the storage service cannot be reached ({type(error).__name__})"
        raise StorageError(reason, is_permanent=False) from None
