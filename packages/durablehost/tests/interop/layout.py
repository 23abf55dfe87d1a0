"""What a host leaves in a task hub, for comparison: rows and messages without what differs from run to run.

A layout says which values each column of a kind of row has, and each member of a kind of message; their numbers and
their order, which follow from the times of episodes, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from azure.data.tables import EntityProperty, TableServiceClient

# Kind of row or message -> column or member -> values, as texts.
Layout = dict[str, dict[str, list[str]]]

RECORDED = Path(__file__).with_name("real_layout.json")

_VARIABLE = {
    # With dashes or without.
    r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}": "<id>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?": "<time>",
    r"http://127\.0\.0\.1:\d+": "<account>",
    r"history-[0-9A-F]{16}-": "history-<row>-",
    r"-[0-9A-F]{8}-(?=\w+\.json\.gz)": "-<random>-",
}
# A real host leaves it in an entity if a request came before the one that was sent before it.
_LEFT_BY_CHANCE: list[tuple[str, Any]] = [("Buffered", {})]
_PAYLOADS = frozenset({"Input", "Result", "Output", "Details"})
_NUMBERS = re.compile(r"(^|\.)(EventId|TaskScheduledId|TimerId|SequenceNumber|TaskScheduleId|Episode|DequeueCount)$")


class Recorder:
    """Collects what one hub contains; `folder` is that of the instances' files."""

    def __init__(self, hub_name: str, folder: Path) -> None:
        self._hub_name = hub_name
        self._folder = str(folder)
        self._seen: dict[str, list[dict[str, str]]] = {}

    def add_rows(self, connection_string: str) -> None:
        with TableServiceClient.from_connection_string(connection_string) as tables:
            for row in tables.get_table_client(f"{self._hub_name}History").list_entities():
                self._add(f"History {row.get('EventType', 'sentinel')}", row, left_out=("PartitionKey", "RowKey"))
            for row in tables.get_table_client(f"{self._hub_name}Instances").list_entities():
                self._add(f"Instances {self._plain(row['PartitionKey'])}", row, left_out=("PartitionKey", "RowKey"))

    def add_message(self, body: bytes) -> None:
        """Adds a message as it is sent to a queue."""
        message = json.loads(ElementTree.fromstring(body).findtext("MessageText", ""))
        event = (message["TaskMessage"] or {}).get("Event")
        kind = event["$type"].split(",")[0].rpartition(".")[2] if event else "reference to a blob"
        self._add(f"Message {kind}", dict(_members(message)))

    def finish(self) -> Layout:
        return {
            kind: {
                column: sorted({row.get(column, "(absent)") for row in rows})
                for column in sorted({column for row in rows for column in row})
            }
            for kind, rows in sorted(self._seen.items())
        }

    def _add(self, kind: str, columns: Mapping[str, Any], left_out: Iterable[str] = ()) -> None:
        values = {name: self._value(name, value) for name, value in columns.items() if name not in left_out}
        self._seen.setdefault(kind, []).append(values)

    def _value(self, name: str, value: Any) -> str:
        if isinstance(value, EntityProperty):
            return f"{value.edm_type} {value.value}"
        if isinstance(value, datetime):
            return "time"
        if isinstance(value, str):
            return self._text(name, value)
        if _NUMBERS.search(name) and value is not None and value >= 0:
            return "number"
        return json.dumps(value)

    def _text(self, name: str, text: str) -> str:
        if name.endswith("InstanceId"):
            return "an instance" if text else "empty"
        if name.endswith("ExecutionId"):
            return "an execution" if text else "empty"
        if name.rpartition(".")[2] in _PAYLOADS or text.startswith("{"):
            with suppress(ValueError):
                return f"JSON {json.dumps(_skeleton(json.loads(text)))}"
        return f"text {self._plain(text)}"

    def _plain(self, text: str) -> str:
        text = text.replace(self._folder, "<folder>")
        text = re.sub(re.escape(self._hub_name), "<hub>", text, flags=re.IGNORECASE)
        for pattern, name in _VARIABLE.items():
            text = re.sub(pattern, name, text)
        # The others show where a function failed.
        return text.partition("\n")[0]


def _skeleton(value: Any) -> Any:
    """The members of an object, in their order, with the types of their values."""
    if isinstance(value, dict):
        members = ((name, member) for name, member in value.items() if (name, member) not in _LEFT_BY_CHANCE)
        return {name: member if name == "$type" else _skeleton(member) for name, member in members}
    return type(value).__name__


def _members(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The members of a JSON value that are no objects, by their paths; an empty object is one, too."""
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _members(member, f"{path}.{name}" if path else name)
    else:
        yield path, value


def to_text(layout: Layout) -> str:
    """JSON with a line for each column."""
    kinds = []
    for kind, columns in layout.items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in columns.items())
        kinds.append(f" {json.dumps(kind)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def differences(real: Layout, own: Layout) -> Iterator[str]:
    """What two layouts do not share, each as `kind: column: real values | own values`."""
    for kind in sorted({*real, *own}):
        columns = (real.get(kind, {}), own.get(kind, {}))
        for column in sorted({*columns[0], *columns[1]}):
            values = [each.get(column, []) for each in columns]
            if values[0] != values[1]:
                yield f"{kind}: {column}: {values[0]} | {values[1]}"


def unexpected(found: Iterable[str], expected: Iterable[str]) -> list[str]:
    """The differences that no pattern covers."""
    return [each for each in found if not any(fnmatchcase(each, pattern) for pattern in expected)]
