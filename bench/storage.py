"""A bare client of Azurite: signed requests over connections that stay open, and nothing else.

Rule of this file: it costs as little as a client can, because it measures the least cost. No retries, no models; an
answer that is not a success ends the measurement.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import aiohttp
from yarl import URL

from bench.errors import BenchError
from durablehost.emulator.azurite import ACCOUNT_KEY, ACCOUNT_NAME, Ports

# More connections gain no more than the noise of a run.
CONNECTIONS = 32
ROWS_PER_TRANSACTION = 100

_VERSION = "2021-12-02"
_KEY = base64.b64decode(ACCOUNT_KEY)
_RECEIPT = re.compile(r"<MessageId>([^<]+)</MessageId>.*<PopReceipt>([^<]+)</PopReceipt>", re.DOTALL)
_JSON_TYPE = "application/json"

Row = dict[str, str | int | bool]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Deletes a message that was put, without a get in between."""

    message_id: str
    pop_receipt: str


@asynccontextmanager
async def connected(ports: Ports, *, connections: int = CONNECTIONS) -> AsyncIterator[Storage]:
    connector = aiohttp.TCPConnector(limit=connections)
    # A content type that aiohttp adds would not be in the signature.
    async with aiohttp.ClientSession(connector=connector, skip_auto_headers=["Content-Type"]) as session:
        yield Storage(session, ports)


class Storage:
    """Queues and tables of one Azurite."""

    def __init__(self, session: aiohttp.ClientSession, ports: Ports) -> None:
        self._session = session
        self._ports = ports

    async def create_queue(self, queue: str) -> None:
        await self._queue("PUT", queue)

    async def delete_queue(self, queue: str) -> None:
        await self._queue("DELETE", queue)

    async def put_message(self, queue: str, text: str) -> Receipt:
        """Puts a message that nobody else sees for five minutes."""
        body = f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode()
        _, content = await self._queue("POST", f"{queue}/messages", body, visibilitytimeout="300")
        found = _RECEIPT.search(content.decode())
        if found is None:
            raise BenchError("Put Message answered without a pop receipt.")
        return Receipt(message_id=found[1], pop_receipt=found[2])

    async def delete_message(self, queue: str, receipt: Receipt) -> None:
        await self._queue("DELETE", f"{queue}/messages/{receipt.message_id}", popreceipt=receipt.pop_receipt)

    async def has_messages(self, queues: Sequence[str]) -> bool:
        """Whether one of the queues has any, visible or not."""
        answers = await asyncio.gather(*(self._queue("GET", queue, comp="metadata") for queue in queues))
        return any(int(headers["x-ms-approximate-messages-count"]) for headers, _ in answers)

    async def create_table(self, table: str) -> None:
        await self._table("POST", "Tables", json.dumps({"TableName": table}).encode())

    async def delete_table(self, table: str) -> None:
        await self._table("DELETE", f"Tables('{table}')")

    async def insert_row(self, table: str, row: Row) -> None:
        await self._table("POST", table, json.dumps(row).encode())

    async def merge_row(self, table: str, row: Row) -> None:
        await self._table("MERGE", _row_path(table, row), json.dumps(row).encode(), {"If-Match": "*"})

    async def insert_rows(self, table: str, rows: Sequence[Row]) -> None:
        """One transaction; all rows belong to one partition."""
        batch = f"batch_{uuid.uuid4()}"
        answer = await self._table(
            "POST",
            "$batch",
            _transaction(batch, self._ports.table_endpoint, table, rows),
            content_type=f"multipart/mixed; boundary={batch}",
        )
        if answer.count(b"HTTP/1.1 2") != len(rows):
            raise BenchError(f"The transaction of {len(rows)} rows failed: {answer.decode(errors='replace')[:500]}")

    async def read_row(self, table: str, partition_key: str, row_key: str = "") -> dict[str, Any] | None:
        """The row, or None if there is none."""
        path = _row_path(table, {"PartitionKey": partition_key, "RowKey": row_key})
        content = await self._table("GET", path, absent_is_empty=True)
        return dict(json.loads(content)) if content else None

    async def _queue(self, method: str, path: str, body: bytes = b"", **query: str) -> tuple[Mapping[str, str], bytes]:
        url = _url(f"{self._ports.queue_endpoint}/{path}", query)
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
        resource = f"/{ACCOUNT_NAME}{url.path}" + "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
        canonical_headers = "".join(f"{name}:{value}\n" for name, value in headers.items())
        length = str(len(body)) if body else ""
        content_type = "application/xml" if body else ""
        to_sign = f"{method}\n\n\n{length}\n\n{content_type}\n\n\n\n\n\n\n{canonical_headers}{resource}"
        return await self._send(method, url, body, {**headers, **_typed(content_type), **_signed("SharedKey", to_sign)})

    async def _table(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        extra_headers: dict[str, str] | None = None,
        *,
        content_type: str = _JSON_TYPE,
        absent_is_empty: bool = False,
    ) -> bytes:
        url = _url(f"{self._ports.table_endpoint}/{path}", {})
        date = formatdate(usegmt=True)
        headers = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Accept": "application/json;odata=nometadata",
            "DataServiceVersion": "3.0",
            "Prefer": "return-no-content",
            **_typed(content_type if body else ""),
            **(extra_headers or {}),
            **_signed("SharedKeyLite", f"{date}\n/{ACCOUNT_NAME}{url.raw_path}"),
        }
        _, content = await self._send(method, url, body, headers, absent_is_empty=absent_is_empty)
        return content

    async def _send(
        self, method: str, url: URL, body: bytes, headers: dict[str, str], *, absent_is_empty: bool = False
    ) -> tuple[Mapping[str, str], bytes]:
        async with self._session.request(method, url, data=body or None, headers=headers) as answer:
            content = await answer.read()
        if answer.status == 404 and absent_is_empty:
            return {}, b""
        if answer.status >= 300:
            raise BenchError(f"{method} {url} answered {answer.status}: {content.decode(errors='replace')[:500]}")
        return answer.headers, content


def _url(base: str, query: dict[str, str]) -> URL:
    url = URL(base)
    return url.with_query(query) if query else url


def _row_path(table: str, row: Row) -> str:
    return f"{table}(PartitionKey='{row['PartitionKey']}',RowKey='{row['RowKey']}')"


def _typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type} if content_type else {}


def _signed(scheme: str, text: str) -> dict[str, str]:
    signature = base64.b64encode(hmac.new(_KEY, text.encode(), hashlib.sha256).digest()).decode()
    return {"Authorization": f"{scheme} {ACCOUNT_NAME}:{signature}"}


def _transaction(batch: str, endpoint: str, table: str, rows: Sequence[Row]) -> bytes:
    changes = f"changeset_{uuid.uuid4()}"
    lines = [f"--{batch}", f"Content-Type: multipart/mixed; boundary={changes}", ""]
    for position, row in enumerate(rows):
        lines += [
            f"--{changes}",
            "Content-Type: application/http",
            "Content-Transfer-Encoding: binary",
            "",
            f"POST {endpoint}/{table} HTTP/1.1",
            f"Content-ID: {position}",
            f"Content-Type: {_JSON_TYPE}",
            "Accept: application/json;odata=nometadata",
            "DataServiceVersion: 3.0",
            "Prefer: return-no-content",
            "",
            json.dumps(row),
        ]
    lines += [f"--{changes}--", f"--{batch}--", ""]
    return "\r\n".join(lines).encode()
