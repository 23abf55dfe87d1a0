"""The names of everything in a task hub: tables, queues, containers, blobs and row keys.

Pure, no I/O. Mirrors the naming of DurableTask.AzureStorage and its KeySanitation.
"""

from __future__ import annotations

from dataclasses import dataclass

SENTINEL_ROW_KEY = "sentinel"

_ESCAPED = {"^": "^", "/": "0", "\\": "1", "#": "2", "?": "3"}
_UNESCAPED = {code: character for character, code in _ESCAPED.items()}
_CONTROL_CHARACTER_BASE = 0xC0
# The last two are not allowed in XML, in which blobs are listed.
_BLOB_ESCAPED = {"\\": "^1", "\ufffe": "^e", "\uffff": "^f"}


@dataclass(frozen=True)
class HubNames:
    """The names of the resources of one hub."""

    hub: str

    @property
    def _lower(self) -> str:
        return self.hub.lower()

    @property
    def history_table(self) -> str:
        return f"{self.hub}History"

    @property
    def instances_table(self) -> str:
        return f"{self.hub}Instances"

    @property
    def partitions_table(self) -> str:
        return f"{self.hub}Partitions"

    @property
    def work_item_queue(self) -> str:
        return f"{self._lower}-workitems"

    @property
    def control_queue_prefix(self) -> str:
        return f"{self._lower}-control-"

    def control_queue(self, partition: int) -> str:
        return f"{self.control_queue_prefix}{partition:02}"

    @property
    def large_messages_container(self) -> str:
        return f"{self._lower}-largemessages"

    @property
    def app_lease_container(self) -> str:
        return f"{self._lower}-applease"

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.history_table, self.instances_table, self.partitions_table)

    @property
    def containers(self) -> tuple[str, ...]:
        """All containers; the one of the leases is left by older hosts."""
        return (self.large_messages_container, self.app_lease_container, f"{self._lower}-leases")

    @property
    def app_lease_blob(self) -> str:
        return f"{self._lower}-appleaseinfo"


def escape_key(text: str) -> str:
    """An instance id as a table key. Not idempotent: escape exactly once."""
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character in _ESCAPED:
        return "^" + _ESCAPED[character]
    if _is_control(character):
        return "^" + chr(ord(character) + _CONTROL_CHARACTER_BASE)
    return character


def _is_control(character: str) -> bool:
    return ord(character) <= 0x1F or 0x7F <= ord(character) <= 0x9F


def unescape_key(key: str) -> str:
    """The instance id of a table key: undoes `escape_key`."""
    characters = iter(key)
    return "".join(_unescape(next(characters, "^")) if c == "^" else c for c in characters)


def _unescape(code: str) -> str:
    if code in _UNESCAPED:
        return _UNESCAPED[code]
    return chr(ord(code) - _CONTROL_CHARACTER_BASE) if ord(code) >= _CONTROL_CHARACTER_BASE else code


def row_key(index: int) -> str:
    """The row key of the history event with this index."""
    return f"{index:016X}"


def message_blob(instance_id: str, activity_id: str, event_type: str) -> str:
    """The blob of a message that is too large for its queue."""
    return f"{blob_folder(instance_id)}/message-{activity_id.replace('-', '')}-{event_type}.json.gz"


def history_blob(partition_key: str, row: str, event_type: str, random_hex: str, column: str) -> str:
    """The blob of a property that is too large for its table."""
    folder = blob_folder(partition_key)
    return f"{folder}/history-{row}-{event_type}-{random_hex.upper()}-{column}.json.gz"


def blob_folder(text: str) -> str:
    """The first part of a blob name, for an instance id or its key.

    Escapes only what cannot be sent or listed: some characters, and `.` and `..`, which clients resolve before they
    send a URL. A real host fails to store such blobs, for ever.
    """
    escaped = "".join(_BLOB_ESCAPED.get(c) or (_escape(c) if _is_control(c) else c) for c in text)
    return "/".join(f"^{part}" if part in (".", "..") else part for part in escaped.split("/"))
