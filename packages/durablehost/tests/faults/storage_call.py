"""One request to a storage service, and its purpose in the layout of a task hub.

Rule of this file: only method, address and body are read, so it does not matter which client made the request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Operation(Enum):
    """The purposes of storage requests; the values are the words of the documentation."""

    SEND_CONTROL = "send a control message"
    SEND_REQUEST = "send an activity request"
    RECEIVE_CONTROL = "receive control messages"
    RECEIVE_REQUESTS = "receive activity requests"
    HIDE_CONTROL = "hide a control message"
    HIDE_REQUEST = "hide an activity request"
    DELETE_CONTROL = "delete a control message"
    DELETE_REQUEST = "delete an activity request"
    READ_HISTORY = "read a history"
    WRITE_HISTORY = "write a history"
    READ_RECORD = "read a row of the instances"
    WRITE_RECORD = "write a row of the instances"
    READ_LEASES = "read the leases"
    WRITE_LEASE = "write a lease"
    READ_BLOB = "read a blob"
    WRITE_BLOB = "write a blob"
    OTHER = "anything else"


_QUEUES = {
    ("POST", "control"): Operation.SEND_CONTROL,
    ("POST", "workitems"): Operation.SEND_REQUEST,
    ("GET", "control"): Operation.RECEIVE_CONTROL,
    ("GET", "workitems"): Operation.RECEIVE_REQUESTS,
    ("PUT", "control"): Operation.HIDE_CONTROL,
    ("PUT", "workitems"): Operation.HIDE_REQUEST,
    ("DELETE", "control"): Operation.DELETE_CONTROL,
    ("DELETE", "workitems"): Operation.DELETE_REQUEST,
}
_TABLES = {
    "History": (Operation.READ_HISTORY, Operation.WRITE_HISTORY),
    "Instances": (Operation.READ_RECORD, Operation.WRITE_RECORD),
    "Partitions": (Operation.READ_LEASES, Operation.WRITE_LEASE),
}
_BLOBS = {"GET": Operation.READ_BLOB, "PUT": Operation.WRITE_BLOB}

_QUEUE_PATH = re.compile(r"-(control|workitems)[^/]*/messages")
_TABLE_PATH = re.compile(r"/[A-Za-z0-9]+?(History|Instances|Partitions)\b")
_BATCH_TABLE = re.compile(rb"/[A-Za-z0-9]+?(History|Instances|Partitions)[( ]")


@dataclass(frozen=True, kw_only=True)
class StorageCall:
    """A request in the proxy; `number` counts requests in the order of their arrival, from 1."""

    number: int
    service: str
    method: str
    path: str
    body: bytes

    @property
    def operation(self) -> Operation:
        if self.service == "queue":
            queue = _QUEUE_PATH.search(self.path)
            return _QUEUES.get((self.method, queue[1]), Operation.OTHER) if queue else Operation.OTHER
        if self.service == "blob":
            return _BLOBS.get(self.method, Operation.OTHER)
        table = self._table
        return _TABLES[table][self.method != "GET"] if table else Operation.OTHER

    @property
    def _table(self) -> str | None:
        if self.path.partition("?")[0].endswith("/$batch"):
            inner = _BATCH_TABLE.search(self.body)
            return inner[1].decode() if inner else None
        outer = _TABLE_PATH.search(self.path.partition("?")[0])
        return outer[1] if outer else None
