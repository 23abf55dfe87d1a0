"""Ids: the partition of an instance, the ids of children and entities, and which ids are allowed.

Mirrors DurableTask.AzureStorage.Fnv1aHashHelper, and EntityId and the id rules of the Durable Functions extension. New
ids need randomness and are not made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from durablehost.core.json_text import is_well_formed

MAX_INSTANCE_ID_LENGTH = 256
ENTITY_MARK = "@"

_FNV_OFFSET_BASIS = 2166136261
_FNV_PRIME = 16777619
_FORBIDDEN_IN_IDS = frozenset("/\\#?")
_LONGEST_KEY = 512
# Azurite cannot parse a transaction with rows whose key contains one of these.
_LINE_SEPARATORS = frozenset("\u2028\u2029")


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash."""
    value = _FNV_OFFSET_BASIS
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def partition_of(instance_id: str, partition_count: int) -> int:
    """The index of the control queue that an instance listens to. The raw id is hashed: no folding, no escaping."""
    return fnv1a(instance_id.encode("utf-8")) % partition_count


def child_instance_id(parent_execution_id: str, task_id: int) -> str:
    """The id of a sub-orchestration that was given none."""
    return f"{parent_execution_id}:{task_id}"


def instance_id_problem(instance_id: str) -> str | None:
    """Why a client may not start an instance under this id, or `None` if it may."""
    if is_entity_id(instance_id):
        return "Orchestration instance ids must not start with @."
    if _has_forbidden_character(instance_id):
        return "Orchestration instance ids must not contain /, \\, #, ?, or control characters."
    if not is_well_formed(instance_id):
        return "Orchestration instance ids must be text that UTF-8 can carry."
    if len(instance_id) > MAX_INSTANCE_ID_LENGTH:
        return f"Instance ID lengths must not exceed {MAX_INSTANCE_ID_LENGTH} characters."
    return None


def fits_a_key(instance_id: str) -> bool:
    """True if an instance id, or a prefix of one, fits the key of a table: 512 units of UTF-16.

    Characters that a key must not contain are escaped, which takes one more unit each. Half a surrogate pair cannot be
    sent at all.
    """
    if not is_well_formed(instance_id):
        return False
    escaped = sum(c == "^" or _is_forbidden(c) for c in instance_id)
    return len(instance_id.encode("utf-16-le")) // 2 + escaped <= _LONGEST_KEY


def storable_id_problem(instance_id: str) -> str | None:
    """Why nothing can be stored or sent under this id, or `None` if it can; completes a sentence about the id."""
    try:
        instance_id.encode("utf-8")
    except UnicodeEncodeError:
        return "holds half a surrogate pair, which UTF-8 cannot carry"
    if not fits_a_key(instance_id):
        return f"is longer than the {_LONGEST_KEY} characters of a table key"
    return None


def child_id_problem(child_id: str, ancestors: Iterable[str]) -> str | None:
    """Why an orchestration may not start a child under this id, or `None` if it may.

    A parent would wait for ever for a child that replaced it; a longer id fits no table key.
    """
    if is_entity_id(child_id):
        return "Orchestration instance ids must not start with @"
    if child_id.lower() in (ancestor.lower() for ancestor in ancestors):
        return (
            "The instance ID of a sub-orchestration must be different than the instance ID of a parent orchestration."
        )
    if _has_line_separator(child_id):
        return "The instance ID of a sub-orchestration must not contain line separators (U+2028, U+2029)."
    if not fits_a_key(child_id):
        return (
            f"The instance ID of a sub-orchestration must not exceed {_LONGEST_KEY} characters; it has {len(child_id)}."
        )
    return None


def called_entity_problem(instance_id: str) -> str | None:
    """Why an orchestration may not call this entity, or `None` if it may. Upstream allows any characters in keys."""
    if not is_entity_id(instance_id):
        return "Entity ids have the form @name@key."
    if _has_line_separator(instance_id):
        return "Entity ids must not contain line separators (U+2028, U+2029)."
    return None if fits_a_key(instance_id) else _entity_id_too_long()


def is_entity_id(instance_id: str) -> bool:
    """True for the instance ids of entities; orchestrations must not have such ids."""
    return instance_id.startswith(ENTITY_MARK)


@dataclass(frozen=True)
class EntityId:
    """The name of an entity function, in lower case, and the key of one of its entities."""

    name: str
    key: str

    @staticmethod
    def of(name: str, key: str) -> EntityId:
        return EntityId(name.lower(), key)

    @staticmethod
    def of_instance(instance_id: str) -> EntityId:
        """The reverse of `instance_id`. The key may contain the mark, a name may not."""
        name, _, key = instance_id.removeprefix(ENTITY_MARK).partition(ENTITY_MARK)
        return EntityId(name, key)

    @property
    def instance_id(self) -> str:
        return f"{ENTITY_MARK}{self.name}{ENTITY_MARK}{self.key}"

    @property
    def problem(self) -> str | None:
        """Why this entity id is not allowed, or `None` if it is."""
        if not self.name:
            return "Entity names must not be empty."
        if not is_well_formed(self.instance_id):
            return "Entity names and keys must be text that UTF-8 can carry."
        if _has_forbidden_character(self.key):
            return "Entity keys must not contain /, \\, #, ?, or control characters."
        if not fits_a_key(self.instance_id):
            return _entity_id_too_long()
        return None


def _entity_id_too_long() -> str:
    return f"Entity ids (@name@key) must not exceed {_LONGEST_KEY} characters."


def _has_line_separator(text: str) -> bool:
    return not _LINE_SEPARATORS.isdisjoint(text)


def _has_forbidden_character(text: str) -> bool:
    return any(map(_is_forbidden, text))


def _is_forbidden(character: str) -> bool:
    return (
        character in _FORBIDDEN_IN_IDS
        or character in _LINE_SEPARATORS
        or ord(character) <= 0x1F
        or 0x7F <= ord(character) <= 0x9F
    )
