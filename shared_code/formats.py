"""Opens files of readings with Polars: Parquet, CSV and NDJSON, by the ending of the name.

The rule of this file: the types of a file are those of its own metadata, and files are scanned with the types that
were seen, so that a type never changes without an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

# Files have time zones that the time zone database lacks, such as +05:30; Polars would refuse to open them. Only the
# instants count here. Polars reads this when it opens a file.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

import polars as pl

from shared_code.blob_connection import BlobConnection
from shared_code.columns import Bounds, Columns, Schema, parsed
from shared_code.files import ReadingsFile

_ROWS_TO_INFER_TYPES: Final = 1_000
# Files of up to so many bytes are read at once: that takes no longer than reading their metadata.
_SMALL: Final = 262_144
_MAX_TEXT_SHOWN: Final = 50
_LAST_NANOSECOND: Final = 2**63 - 1

Download = Callable[[ReadingsFile], bytes]

_CASTS: Final = pl.ScanCastOptions(datetime_cast=["convert-timezone", "nanosecond-downcast"])


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file has: the columns with the types to read them by, and whether there is any row.

    `bounds` are None if finding them would take long.
    """

    schema: Schema
    has_rows: bool
    bounds: Bounds | None = None


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A file that Polars opens: by its path, or with its bytes."""

    path: str
    source: str | bytes
    connection: BlobConnection | None

    def scan(self, schema: Schema | None = None) -> pl.LazyFrame:
        return _scan(self.path, [self.source], schema, self.connection)


def read_contents(
    file: ReadingsFile, columns: Columns, connection: BlobConnection | None, download: Download | None = None
) -> Contents:
    """Looks into a file: the metadata of Parquet, the beginning of text, and all of a small file.

    Raises:
        PolarsError, PanicException, OSError: it cannot be read.
        ValueError: a timestamp is text that is no instant.
    """
    is_small = file.size <= _SMALL
    # One request; Polars would make several for each look.
    source = download(file) if download and is_small else file.path
    opened = _Opened(path=file.path, source=source, connection=connection)
    schema: Schema = opened.scan().collect_schema()
    schema = _as_numbers(schema, columns) if _is_text(file.path) else _as_instants(opened, schema, columns)
    if isinstance(schema.get(columns.timestamp), pl.String):
        _check_instants(opened.scan(schema), columns.timestamp)
    if not is_small:
        return Contents(schema=schema, has_rows=True)  # its metadata alone would not be as long
    rows = opened.scan(schema if _is_text(file.path) else None).select(pl.len()).collect(engine="streaming").item()
    return Contents(schema=schema, has_rows=bool(rows), bounds=_bounds(opened, schema, columns))


def scan_files(paths: Sequence[str], schema: Schema, connection: BlobConnection | None) -> pl.LazyFrame:
    """The rows of all files, which have the columns of `schema`, and perhaps others."""
    return _scan(paths[0], list(paths), schema, connection)


def _scan(name: str, sources: list[Any], schema: Schema | None, connection: BlobConnection | None) -> pl.LazyFrame:
    """The rows of paths or bytes, with the types of `schema`, or those of the file; `name` tells the format."""
    options: dict[str, Any] = {}
    if connection is not None and isinstance(sources[0], str):
        options["storage_options"] = connection.storage_options or None
        options["credential_provider"] = connection.credential_provider
    if _is_csv(name):
        options |= {"glob": False, "infer_schema_length": _ROWS_TO_INFER_TYPES}
        if schema is None:
            return pl.scan_csv(sources, **options)
        # One by one, because their columns may have other orders.
        each = [pl.scan_csv([source], schema_overrides=dict(schema), **options) for source in sources]
        return pl.concat([rows.select(*schema) for rows in each])
    if _is_text(name):
        types = {"infer_schema_length": _ROWS_TO_INFER_TYPES} if schema is None else {"schema": dict(schema)}
        return pl.scan_ndjson(sources, **types, **options)
    if schema is not None:
        options |= {"schema": dict(schema), "extra_columns": "ignore", "cast_options": _CASTS}
    # The columns of the file are its own, whatever the names of its folders. Fewer row groups are read ahead with
    # `low_memory`, of which several chunks in one process would have too many otherwise.
    return pl.scan_parquet(sources, glob=False, hive_partitioning=False, low_memory=True, **options)


def _is_csv(path: str) -> bool:
    return path.lower().endswith((".csv", ".csv.gz", ".csv.zst"))


def _is_text(path: str) -> bool:
    return _is_csv(path) or path.lower().endswith((".ndjson", ".jsonl"))


def _bounds(opened: _Opened, schema: Schema, columns: Columns) -> Bounds | None:
    shape = columns.timestamps_alone(schema)
    if shape is None:
        return None
    at = shape.comparable()
    try:
        found = opened.scan(shape.schema).select(first=at.min(), last=at.max()).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None  # a damaged page fails the chunks that need it, and they name it
    return shape.to_bounds(*found.select(pl.all().to_physical()).row(0))


def _check_instants(rows: pl.LazyFrame, column: str) -> None:
    """Once for all windows: text that is no instant belongs to none, and would be missing without a word."""
    text = pl.col(column)
    unknown = rows.filter(text.is_not_null() & parsed(text).is_null()).select(text).head(1).collect(engine="streaming")
    if unknown.height:
        raise ValueError(f"'{unknown.item()[:_MAX_TEXT_SHOWN]}' in column '{column}' is no ISO 8601 date and time")


def _as_numbers(schema: Schema, columns: Columns) -> Schema:
    """The types for text: 1 in the first rows may be 1.5 later, and 007 is a name if it is that of a series."""
    types: dict[str, pl.DataType] = {}
    for column, dtype in schema.items():
        if column == columns.series:
            types[column] = pl.String()
        elif column != columns.timestamp and (dtype.is_numeric() or column == columns.value):
            types[column] = pl.Float64()
        else:
            types[column] = dtype
    return types


def _as_instants(opened: _Opened, schema: Schema, columns: Columns) -> Schema:
    """The types with the timestamps in UTC, and in microseconds if the file has instants beyond nanoseconds.

    Polars reads INT96, which has no such limit, as nanoseconds, and what is beyond as the last of them.
    """
    dtype = schema.get(columns.timestamp)
    if not isinstance(dtype, pl.Datetime):
        return schema
    instant = pl.Datetime(dtype.time_unit, "UTC" if dtype.time_zone else None)
    if dtype.time_unit == "ns":
        last = pl.lit(_LAST_NANOSECOND, dtype=pl.Int64).cast(instant)
        beyond = opened.scan({columns.timestamp: instant}).filter(pl.col(columns.timestamp) == last)
        if beyond.select(pl.len()).collect(engine="streaming").item():
            instant = pl.Datetime("us", instant.time_zone)
    return {**schema, columns.timestamp: instant}
