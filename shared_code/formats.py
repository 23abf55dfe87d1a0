"""Opens files of readings with Polars: Parquet, CSV and NDJSON, by the ending of the name.

The rule of this file: the types of a file are those of its own metadata, and files are scanned with the types that
were seen, so that a type never changes without an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

# Files have time zones that the time zone database lacks, such as +05:30; Polars would refuse to open them. Only the
# instants count here. Polars reads this when it opens a file.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")
# A column of intervals beside those of readings; without it, Polars fails on the whole file.
os.environ.setdefault("POLARS_IMPORT_INTERVAL_AS_STRUCT", "1")
# Row groups that are read ahead. Each takes tens of megabytes, and the other chunks of the process have theirs.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "2")

import polars as pl

from shared_code.blob_connection import BlobConnection
from shared_code.columns import Bounds, Columns, Schema, Shape, is_text, parsed
from shared_code.files import COMPRESSED, ReadingsFile
from shared_code.parquet_footer import find_bounds, read_end

# In bytes. A file up to this size is read at once: a blob in one request, where Polars would make several. Of a larger
# one no more is read than the window needs.
SMALL: Final = 2**20
PARQUET: Final = "Parquet"
_CSV: Final = "CSV"
_NDJSON: Final = "NDJSON"
_TEXT: Final = {".csv": _CSV, ".ndjson": _NDJSON, ".jsonl": _NDJSON}

_OTHER_SEPARATORS: Final = "[;|\t]"
# What Polars adds to the name of a second column of that name in CSV.
_SECOND: Final = "_duplicated_0"
_ROWS_TO_INFER_TYPES: Final = 1_000
_MAX_TEXT_SHOWN: Final = 50
_LAST_NANOSECOND: Final = 2**63 - 1

# Returns so many of the last bytes of a blob.
Download = Callable[[ReadingsFile, int], bytes]

pl.Config.reload_env_vars()  # it has read some of the variables if it was imported before

_CASTS: Final = pl.ScanCastOptions(datetime_cast=["convert-timezone", "nanosecond-downcast"])


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file has: the columns with the types to read them by, and whether there is any row.

    `bounds` are None if finding them would take long: those of a large file are in its statistics, or are not known.
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
    rows_to_infer: int | None = None

    def scan(self, schema: Schema | None = None) -> pl.LazyFrame:
        return _scan(format_of(self.path), [self.source], schema, self.connection, self.rows_to_infer)

    def check_lines(self) -> None:
        """Raises ComputeError if a line of CSV has more fields than the header; of some columns alone, it would not."""
        header = pl.Schema(dict.fromkeys(self.scan().collect_schema(), pl.String()))
        self.scan(header).select(pl.all().count()).collect(engine="streaming")


def format_of(path: str) -> str:
    """The format that the ending of the name tells; Parquet if it tells none."""
    name = path.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return next((text for ending, text in _TEXT.items() if name.endswith(ending)), PARQUET)


def read_contents(
    file: ReadingsFile, columns: Columns, connection: BlobConnection | None, download: Download | None = None
) -> Contents:
    """Looks into a file: the metadata of Parquet, the beginning of text, and the timestamps of a small file.

    Raises:
        PolarsError, PanicException, OSError, StorageError: it cannot be read.
        ValueError: it is not whole, or a timestamp is text that is no instant.
    """
    is_small, is_parquet = file.size <= SMALL, format_of(file.path) == PARQUET
    source = download(file, file.size) if download and is_small else file.path
    end = None if is_small or not is_parquet else read_end(partial(download or _read_local, file), file.size)
    # In a wide table a series may begin late, and its column would look like one of text.
    rows_to_infer = None if is_small or columns.is_wide else _ROWS_TO_INFER_TYPES
    opened = _Opened(path=file.path, source=source, connection=connection, rows_to_infer=rows_to_infer)
    metadata = opened if end is None else replace(opened, source=end)
    try:
        schema: Schema = metadata.scan().collect_schema()
    except pl.exceptions.PolarsError as error:
        if _is_blank(opened, error):
            return Contents(schema={}, has_rows=False)
        raise
    if format_of(file.path) == _CSV and columns.timestamp in schema:
        opened.check_lines()
    schema = _in_utc(schema, columns) if is_parquet else _as_numbers(schema, columns)
    shape = columns.timestamps_alone(schema)
    if is_small:
        return _look_into_all(opened, schema, shape)
    if shape is not None:
        schema = _look_into_timestamps(opened, schema, shape)
    bounds = None if end is None else find_bounds(end, columns.timestamp)
    return Contents(schema=schema, has_rows=True, bounds=bounds)  # its metadata alone would not be as long


def _is_blank(opened: _Opened, error: pl.exceptions.PolarsError) -> bool:
    """Whether the columns cannot be told because a text file has nothing in it, perhaps after decompression."""
    if format_of(opened.path) == _NDJSON:
        return not _has_rows(opened, {"": pl.Null()})
    return isinstance(error, pl.exceptions.NoDataError)


def _read_local(file: ReadingsFile, last: int) -> bytes:
    with Path(file.path).open("rb") as content:
        content.seek(-last, os.SEEK_END)
        return content.read()


def scan_files(sources: Mapping[str, str | bytes], schema: Schema, connection: BlobConnection | None) -> pl.LazyFrame:
    """The rows of all files, which have one format and the columns of `schema`, and perhaps others.

    `sources` has what Polars opens by the path of each file: the path again, or the bytes.
    """
    return _scan(format_of(next(iter(sources))), list(sources.values()), schema, connection)


def _scan(
    form: str,
    sources: list[Any],
    schema: Schema | None,
    connection: BlobConnection | None,
    rows_to_infer: int | None = _ROWS_TO_INFER_TYPES,
) -> pl.LazyFrame:
    """The rows of paths or bytes, with the types of `schema`, or those of the file: in text, of its first rows."""
    options: dict[str, Any] = {}
    if connection is not None and isinstance(sources[0], str):
        options["storage_options"] = connection.storage_options or None
        options["credential_provider"] = connection.credential_provider
    if form == _CSV:
        options |= {"glob": False, "infer_schema_length": rows_to_infer}
        if schema is None:
            return pl.scan_csv(sources, **options)
        # One by one, because their columns may have other orders.
        each = [pl.scan_csv([source], schema_overrides=dict(schema), **options) for source in sources]
        return pl.concat([rows.select(*schema) for rows in each])
    if form == _NDJSON:
        types = {"infer_schema_length": rows_to_infer} if schema is None else {"schema": dict(schema)}
        return pl.scan_ndjson(sources, **types, **options)
    if schema is not None:
        options |= {"schema": dict(schema), "extra_columns": "ignore", "cast_options": _CASTS}
    # The columns of the file are its own, whatever the names of its folders.
    return pl.scan_parquet(sources, glob=False, hive_partitioning=False, **options)


def _look_into_all(opened: _Opened, schema: Schema, shape: Shape | None) -> Contents:
    """Rows and bounds in one query, because thousands of files are looked into."""
    if shape is None:
        return Contents(schema=schema, has_rows=_has_rows(opened, schema))
    at = shape.comparable()
    wanted = {"rows": pl.len(), "first": at.min().to_physical(), "last": at.max().to_physical()}
    if has_text := is_text(schema[shape.columns.timestamp]):
        wanted["unknown"] = _unknown(shape).first()
    try:
        found = opened.scan(shape.schema).select(**wanted).collect().row(0, named=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        # A damaged page fails the chunks that need it, and they name it.
        return Contents(schema=schema, has_rows=_has_rows(opened, schema))
    if has_text:
        _refuse_unknown(shape, found["unknown"])
    if found["last"] == _LAST_NANOSECOND and (coarser := _in_microseconds(schema, shape)):
        return _look_into_all(opened, coarser, shape.columns.timestamps_alone(coarser))
    bounds = shape.to_bounds(found["first"], found["last"])
    return Contents(schema=schema, has_rows=bool(found["rows"]), bounds=bounds)


def _look_into_timestamps(opened: _Opened, schema: Schema, shape: Shape) -> Schema:
    """The types to read the file by, after a look at timestamps that may be more than their type can be."""
    if is_text(schema[shape.columns.timestamp]):
        unknown = opened.scan(schema).select(_unknown(shape).first()).collect(engine="streaming")
        _refuse_unknown(shape, unknown.item())
    if coarser := _in_microseconds(schema, shape):
        instant = schema[shape.columns.timestamp]
        last = pl.lit(_LAST_NANOSECOND, dtype=pl.Int64).cast(instant)
        beyond = opened.scan(shape.schema).filter(pl.col(shape.columns.timestamp) == last)
        if beyond.select(pl.len()).collect(engine="streaming").item():
            return coarser
    return schema


def _has_rows(opened: _Opened, schema: Schema) -> bool:
    types = None if format_of(opened.path) == PARQUET else schema
    return bool(opened.scan(types).select(pl.len()).collect(engine="streaming").item())


def _unknown(shape: Shape) -> pl.Expr:
    """Timestamps that are text but no instants."""
    text = pl.col(shape.columns.timestamp)
    return text.filter(text.is_not_null() & parsed(shape.columns.timestamp).is_null())


def _refuse_unknown(shape: Shape, text: str | None) -> None:
    """Once for all windows: text that is no instant belongs to none, and would be missing without a word."""
    if text is not None:
        shown = text[:_MAX_TEXT_SHOWN]
        raise ValueError(f"'{shown}' in column '{shape.columns.timestamp}' is no ISO 8601 date and time")


def _as_numbers(schema: Schema, columns: Columns) -> Schema:
    """The types for text: 1 in the first rows may be 1.5 later, and 007 is a name if it is that of a series.

    Raises:
        ValueError: two columns have the same name, or the header is none of CSV in UTF-8 with commas.
    """
    if any("\r" in column for column in schema):
        raise ValueError("its lines end with CR alone")
    if any("\0" in column for column in schema):
        raise ValueError("it is not UTF-8, but perhaps UTF-16")
    if len(schema) == 1 and (separator := re.search(_OTHER_SEPARATORS, next(iter(schema)))):
        raise ValueError(f"its columns are separated by {separator[0]!r}, not by commas")
    for column in schema if columns.is_wide else (columns.timestamp, columns.series, columns.value):
        if f"{column}{_SECOND}" in schema:
            raise ValueError(f"it has two columns '{column}'")
    types: dict[str, pl.DataType] = {}
    for column, dtype in schema.items():
        # Nulls in the first rows may be text later.
        if column == columns.series or (column == columns.timestamp and isinstance(dtype, pl.Null)):
            types[column] = pl.String()
        elif column != columns.timestamp and (dtype.is_numeric() or column == columns.value):
            types[column] = pl.Float64()
        else:
            types[column] = dtype
    return types


def _in_utc(schema: Schema, columns: Columns) -> Schema:
    """The types with the timestamps in UTC, unless they have no zone."""
    dtype = schema.get(columns.timestamp)
    if not isinstance(dtype, pl.Datetime):
        return schema
    return {**schema, columns.timestamp: pl.Datetime(dtype.time_unit, "UTC" if dtype.time_zone else None)}


def _in_microseconds(schema: Schema, shape: Shape) -> Schema | None:
    """The types with timestamps in microseconds; None if they are not in nanoseconds.

    Polars reads INT96, which has instants beyond nanoseconds, as nanoseconds, and what is beyond as the last of them.
    """
    dtype = schema[shape.columns.timestamp]
    if not isinstance(dtype, pl.Datetime) or dtype.time_unit != "ns":
        return None
    return {**schema, shape.columns.timestamp: pl.Datetime("us", dtype.time_zone)}
