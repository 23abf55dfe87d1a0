"""One storage table: reads rows, and writes them one by one or in a transaction.

Rule of this file: nothing here knows what a row means. Follows the REST reference of the table service, for operations
that are slow in the official SDK (see service_client.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Union
from urllib.parse import quote

from durablehost.core.ticks import EARLIEST_TIME
from durablehost.errors import StorageError
from durablehost.storage.account.service_client import Answer, ServiceClient
from durablehost.storage.account.signing import Request

Column = Union[str, int, bool, datetime]  # noqa: UP007
Row = dict[str, Column]

MAX_OPERATIONS_PER_TRANSACTION = 100

_JSON = "application/json;odata=minimalmetadata"
_HEADERS = {"Accept": _JSON, "DataServiceVersion": "3.0"}
_BATCH = "batch_durablehost"
_CHANGE_SET = "changeset_durablehost"
_ODATA_TYPE = "@odata.type"
_STATUS_OF_PART = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
_ETAG_OF_PART = re.compile(rb"^etag: *(\S+)", re.MULTILINE | re.IGNORECASE)


class Write(Enum):
    """How to write a row: only a new one, a whole one, or only the given columns."""

    INSERT = "POST"
    REPLACE = "PUT"
    MERGE = "PATCH"


@dataclass(frozen=True)
class Operation:
    """A row to write. If `etag` is given, the stored row must have it; an insert has none."""

    write: Write
    row: Row
    etag: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoredRow:
    """A row that was read."""

    columns: Mapping[str, Any]
    etag: str


class StorageTable:
    """A table by name. Every method raises what `ServiceClient.send` raises."""

    def __init__(self, service: ServiceClient, name: str) -> None:
        self._service = service
        self.name = name

    async def get(self, partition_key: str, row_key: str) -> StoredRow:
        answer = await self._service.send(
            Request(method="GET", path=self._path(partition_key, row_key), headers=dict(_HEADERS))
        )
        return _stored(_json(answer))

    async def query(self, condition: str) -> list[StoredRow]:
        """All rows that meet an OData condition, in the order of their keys."""
        rows: list[StoredRow] = []
        following: Mapping[str, str] = {}
        while True:
            page, following = await self.query_page(condition, following=following)
            rows += page
            if not following:
                return rows

    async def query_page(
        self,
        condition: str,
        *,
        following: Mapping[str, str],
        size: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> tuple[list[StoredRow], Mapping[str, str]]:
        """One page of the rows that meet an OData condition, and the `following` of the next page, empty if none."""
        query = {"$filter": condition, **following}
        if size is not None:
            query["$top"] = str(size)
        if columns is not None:
            query["$select"] = ",".join(columns)
        answer = await self._service.send(
            Request(method="GET", path=f"{self.name}()", query=query, headers=dict(_HEADERS))
        )
        return [_stored(members) for members in _json(answer)["value"]], _continuation(answer)

    async def write(self, operation: Operation) -> str:
        """Writes one row; returns its new ETag."""
        body = _encode(operation.row)
        headers = {**_HEADERS, "Content-Type": "application/json"}
        if operation.write is Write.INSERT:
            headers["Prefer"] = "return-no-content"
        if operation.etag is not None:
            headers["If-Match"] = operation.etag
        answer = await self._service.send(
            Request(method=operation.write.value, path=self._path_for(operation), headers=headers, body=body)
        )
        return answer.headers["ETag"]

    async def write_together(self, operations: Sequence[Operation]) -> list[str]:
        """Writes up to 100 rows of one partition, all or none; returns their new ETags in order."""
        answer = await self._service.send(
            Request(
                method="POST",
                path="$batch",
                headers={**_HEADERS, "Content-Type": f"multipart/mixed; boundary={_BATCH}"},
                body=self._batch(operations),
            )
        )
        refused = next((int(status) for status in _STATUS_OF_PART.findall(answer.body) if int(status) >= 400), None)
        if refused is not None:
            # The reason is the one JSON document among the parts.
            reason = answer.body[answer.body.find(b"{") : answer.body.rfind(b"}") + 1]
            raise self._service.refusal_of(Answer(status=refused, headers={}, body=reason))
        return [etag.decode() for etag in _ETAG_OF_PART.findall(answer.body)]

    def _batch(self, operations: Sequence[Operation]) -> bytes:
        parts = [f"--{_BATCH}\r\nContent-Type: multipart/mixed; boundary={_CHANGE_SET}\r\n\r\n".encode()]
        for number, operation in enumerate(operations):
            body = _encode(operation.row)
            condition = "" if operation.etag is None else f"If-Match: {operation.etag}\r\n"
            parts.append(
                f"--{_CHANGE_SET}\r\n"
                f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n"
                f"{operation.write.value} {self._service.endpoint}/{self._path_for(operation)} HTTP/1.1\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                f"Accept: {_JSON}\r\nDataServiceVersion: 3.0\r\nPrefer: return-no-content\r\n{condition}\r\n".encode()
            )
            parts += (body, b"\r\n")
        parts.append(f"--{_CHANGE_SET}--\r\n\r\n--{_BATCH}--\r\n".encode())
        return b"".join(parts)

    def _path_for(self, operation: Operation) -> str:
        if operation.write is Write.INSERT:
            return self.name
        return self._path(str(operation.row["PartitionKey"]), str(operation.row["RowKey"]))

    def _path(self, partition_key: str, row_key: str) -> str:
        return f"{self.name}(PartitionKey='{_key(partition_key)}',RowKey='{_key(row_key)}')"


def _key(text: str) -> str:
    return quote(text.replace("'", "''"), safe="")


def _encode(row: Row) -> bytes:
    """The JSON of a row, in ASCII, so that lone surrogates in texts survive."""
    members: dict[str, Column] = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            members[name] = f"{_storable_time(value):%Y-%m-%dT%H:%M:%S.%f}Z"
            members[name + _ODATA_TYPE] = "Edm.DateTime"
        else:
            members[name] = value
    return json.dumps(members).encode()


def _storable_time(at: datetime) -> datetime:
    """The time in UTC, but not before the earliest that a table accepts: .NET's minimum is the year 1."""
    return at.astimezone(timezone.utc) if at > EARLIEST_TIME else EARLIEST_TIME


def _json(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"An answer of the table service cannot be read: {error!r}") from error
    if not isinstance(document, dict):
        raise StorageError("An answer of the table service is not a JSON object.")
    return document


def _stored(members: dict[str, Any]) -> StoredRow:
    """A row with its columns decoded. A column that does not fit its declared type stays as it is, for the caller."""
    columns = {name: value for name, value in members.items() if "odata." not in name}
    for name, value in members.items():
        if name.endswith(_ODATA_TYPE):
            column = name[: -len(_ODATA_TYPE)]
            with suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
                columns[column] = _decode(value, columns[column])
    return StoredRow(columns=columns, etag=str(members["odata.etag"]))


def _decode(odata_type: str, text: str) -> Any:
    if odata_type == "Edm.DateTime":
        return _time(text)
    if odata_type == "Edm.Int64":
        return int(text)
    return text  # no column of a hub has another type


def _time(text: str) -> datetime:
    """Reads a time of the service, with up to seven digits of a second; truncates it to microseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    at = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
    return at + timedelta(microseconds=int(fraction[:6].ljust(6, "0"))) if fraction else at


def _continuation(answer: Answer) -> dict[str, str]:
    names = {"NextPartitionKey": "x-ms-continuation-NextPartitionKey", "NextRowKey": "x-ms-continuation-NextRowKey"}
    return {name: answer.headers[header] for name, header in names.items() if answer.headers.get(header)}
