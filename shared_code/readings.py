"""Where readings come from: the synthetic signal, or Parquet in Azure Blob Storage or under a local path.

The rule of this file: a window's readings are scanned lazily, so that only the row groups of the window are fetched;
and whatever cannot be read becomes one exception that names the location and never a credential.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from typing import Any, Final

import polars as pl

from shared_code.blob_connection import BlobConnection, ConnectionSettingError, connect
from shared_code.instants import to_microseconds
from shared_code.synthetic import scan_signal
from shared_code.windows import Window

READINGS: Final = "READINGS"
READINGS_CONNECTION: Final = "READINGS_CONNECTION"
DEFAULT_CONNECTION: Final = "AzureWebJobsStorage"
SYNTHETIC: Final = "synthetic"

_AZURE_SCHEME: Final = "az://"
_MAX_CAUSE_LENGTH: Final = 300
_COLUMNS: Final = ("timestamp", "series", "value")
_INT64: Final = 2**63
# Ticks of a column's time unit in a second.
_TICKS: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class ReadingsError(Exception):
    """The readings of a window cannot be had; the message names the location or setting."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that has readings: rows of `timestamp`, `series`, `value`."""

    location: str
    connection: BlobConnection | None = None

    def scan(self, window: Window) -> Iterator[pl.LazyFrame]:
        """The rows of `window`, as one frame or more of `series` (text) and `value` (float).

        Nothing but metadata is read until a frame is collected, which belongs into `self.errors()`.

        Raises:
            ReadingsError: the location cannot be read, or its columns are not those of readings.
        """
        if self.location == SYNTHETIC:
            yield from scan_signal(window)
        else:
            with self.errors():
                frame = self._scan_parquet()
                schema = frame.collect_schema()
            yield _in_window(frame, self._checked(schema), window)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what Polars raises inside into a `ReadingsError`."""
        try:
            yield
        # PanicException is how a fault inside Polars arrives, and no subclass of Exception.
        except (
            pl.exceptions.PolarsError,
            pl.exceptions.PanicException,
            ConnectionSettingError,
            OSError,
            ValueError,
        ) as error:
            raise ReadingsError(f"cannot read {self._culprit()}: {self._cause(error)}") from None

    def _scan_parquet(self) -> pl.LazyFrame:
        connection = self.connection or BlobConnection(storage_options={})
        return pl.scan_parquet(
            self.location,
            storage_options=connection.storage_options or None,
            credential_provider=connection.credential_provider,
            extra_columns="ignore",
        )

    def _checked(self, schema: pl.Schema) -> pl.Datetime:
        """The type of the timestamps, where all three columns are as readings need them."""
        missing = [column for column in _COLUMNS if column not in schema]
        if missing:
            raise ReadingsError(f"{self.location} has no column '{missing[0]}'; it has {', '.join(schema)}")
        timestamp = schema["timestamp"]
        if not isinstance(timestamp, pl.Datetime):
            raise self._wrong_type("timestamp", timestamp, "a datetime")
        if not isinstance(schema["series"], pl.String | pl.Categorical | pl.Enum):
            raise self._wrong_type("series", schema["series"], "a string")
        if not schema["value"].is_numeric():
            raise self._wrong_type("value", schema["value"], "a number")
        return timestamp

    def _wrong_type(self, column: str, found: pl.DataType, wanted: str) -> ReadingsError:
        return ReadingsError(f"column '{column}' of {self.location} is {found}, not {wanted}")

    def _culprit(self) -> str:
        """The location; of several local files, the one whose metadata cannot be read, which Polars does not name."""
        paths = [] if self.connection else sorted(glob(self.location, recursive=True))  # noqa: PTH207 - the pattern may be absolute
        for path in paths if paths != [self.location] else []:
            try:
                pl.read_parquet_schema(path)
            except (pl.exceptions.PolarsError, OSError):
                return path
        return self.location

    def _cause(self, error: BaseException) -> str:
        text = str(error)
        code = re.search(r"<Code>(\w+)</Code>", text)
        if code:
            return f"the storage service answered {code[1]}"
        if isinstance(error, FileNotFoundError) or "expanded paths were empty" in text:
            return "there is no such file, blob or container"
        if isinstance(error, PermissionError):
            return "access denied"
        if isinstance(error, ConnectionError):
            return "the storage service cannot be reached"
        for secret in self.connection.secrets if self.connection else ():
            text = text.replace(secret, "***")
        return " ".join(text.partition("; note: if you are using Python")[0].split())[:_MAX_CAUSE_LENGTH]


def _in_window(frame: pl.LazyFrame, timestamp: pl.Datetime, window: Window) -> pl.LazyFrame:
    at = pl.col("timestamp")
    inside = (at >= _bound(window.start, timestamp)) & (at < _bound(window.end, timestamp))
    series = pl.col("series").cast(pl.String).fill_null("")
    return frame.filter(inside).select(series, pl.col("value").cast(pl.Float64))


def _bound(at: Any, timestamp: pl.Datetime) -> pl.Expr:
    """`at` in the column's own type, so that no cast of the column keeps the predicate from the row groups' statistics.

    Rounded up to the column's unit, which is right for `>=` and `<` alike. A column without a zone is taken as UTC.
    """
    ticks = -(-to_microseconds(at) * _TICKS[timestamp.time_unit] // 1_000_000)
    held = max(-_INT64, min(ticks, _INT64 - 1))
    return pl.lit(held, dtype=pl.Int64).cast(timestamp)


def open_source(environment: Mapping[str, str]) -> Source:
    """The source that the app settings `READINGS` and `READINGS_CONNECTION` name.

    Raises:
        ReadingsError: a setting is missing or not understood.
    """
    location = environment.get(READINGS, "").strip() or SYNTHETIC
    if location.startswith(_AZURE_SCHEME):
        return Source(location=location, connection=_connection(location, environment))
    if "://" in location:
        shown = _without_secret(location)
        raise ReadingsError(f"the app setting {READINGS} must be '{SYNTHETIC}', az://container/path or a path: {shown}")
    return Source(location=location)


def _without_secret(url: str) -> str:
    """A URL without user, password and query, where a key or a signature would be."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _connection(location: str, environment: Mapping[str, str]) -> BlobConnection:
    container, _, path = location.removeprefix(_AZURE_SCHEME).partition("/")
    if not container or not path:
        raise ReadingsError(f"the app setting {READINGS} must be az://container/path: {location}")
    setting = environment.get(READINGS_CONNECTION, "").strip() or DEFAULT_CONNECTION
    if "=" in setting:
        raise ReadingsError(
            f"the app setting {READINGS_CONNECTION} must be the name of a setting, not a connection string"
        )
    try:
        return connect(setting, environment)
    except ConnectionSettingError as error:
        raise ReadingsError(f"cannot read {location}: {error}") from error
