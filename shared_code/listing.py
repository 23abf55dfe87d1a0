"""The listing of a run: the files of a location as they were at its beginning, and what is known of each.

The rule of this file: a listing is never changed. Its version is made of its files, so equal files are one listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from typing import Final

import polars as pl

from shared_code.columns import Bounds, Schema
from shared_code.files import ReadingsFile
from shared_code.formats import Contents

_COLUMNS: Final = pl.Schema(
    {
        # As bytes, because a name on this machine need not be UTF-8.
        **{"path": pl.Binary(), "version": pl.String(), "size": pl.Int64()},
        # Null if the file has not been looked into, a type cannot be kept, or finding the bounds would take long.
        **{"schema": pl.Binary(), "has_rows": pl.Boolean(), "first": pl.Int64(), "last": pl.Int64()},
    }
)

_Types = tuple[tuple[str, pl.DataType], ...]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files in the order of their names, and the contents of those that have been looked into."""

    files: list[ReadingsFile]
    contents: Mapping[ReadingsFile, Contents] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        listed = "".join(f"{file.path}\0{file.version}\0" for file in self.files)
        return sha256(_encoded(listed)).hexdigest()[:16]

    def to_parquet(self) -> bytes:
        content, schemas = BytesIO(), dict[_Types, bytes | None]()
        rows = [self._row(file, schemas) for file in self.files]
        pl.DataFrame(rows, schema=_COLUMNS).write_parquet(content)
        return content.getvalue()

    def _row(self, file: ReadingsFile, schemas: dict[_Types, bytes | None]) -> dict[str, object]:
        row: dict[str, object] = {"path": _encoded(file.path), "version": file.version, "size": file.size}
        if contents := self.contents.get(file):
            types = tuple(contents.schema.items())
            if types not in schemas:  # most files have the same
                schemas[types] = _schema_to_bytes(contents.schema)
            row |= {"schema": schemas[types], "has_rows": contents.has_rows}
            if contents.bounds:
                row |= contents.bounds._asdict()
        return row


def read_listing(content: bytes) -> Listing:
    """The inverse of `Listing.to_parquet`."""
    files, contents, schemas = [], {}, dict[bytes, Schema]()
    for row in pl.read_parquet(content).iter_rows(named=True):
        path = row["path"].decode("utf-8", "surrogateescape")
        file = ReadingsFile(path=path, version=row["version"], size=row["size"])
        files.append(file)
        if (schema := row["schema"]) is not None:
            if schema not in schemas:
                schemas[schema] = pl.read_ipc(schema).schema
            bounds = None if row["first"] is None else Bounds(row["first"], row["last"])
            contents[file] = Contents(schema=schemas[schema], has_rows=row["has_rows"], bounds=bounds)
    return Listing(files=files, contents=contents)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _schema_to_bytes(schema: Schema) -> bytes | None:
    """None if Polars does not read it back, such as a decimal of 39 digits; then each chunk looks into the file."""
    content = BytesIO()
    try:
        pl.DataFrame(schema=dict(schema)).write_ipc(content)
        is_kept = pl.read_ipc(content.getvalue()).schema == schema
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return content.getvalue() if is_kept else None
