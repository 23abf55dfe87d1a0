"""Identities: which partition an instance belongs to, what a child is called, which ids are allowed.

Mirrors DurableTask.AzureStorage.Fnv1aHashHelper and the id rules of the Durable Functions extension. Making new ids
needs randomness and is not done here.
"""

from __future__ import annotations

MAX_INSTANCE_ID_LENGTH = 256

_FNV_OFFSET_BASIS = 2166136261
_FNV_PRIME = 16777619
_FORBIDDEN_IN_IDS = frozenset("/\\#?")


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
    """Why a client may not start an instance under this id, or `None` where it may."""
    if instance_id.startswith("@"):
        return "Orchestration instance ids must not start with @."
    if any(c in _FORBIDDEN_IN_IDS or ord(c) <= 0x1F or 0x7F <= ord(c) <= 0x9F for c in instance_id):
        return "Orchestration instance ids must not contain /, \\, #, ?, or control characters."
    if len(instance_id) > MAX_INSTANCE_ID_LENGTH:
        return f"Instance ID lengths must not exceed {MAX_INSTANCE_ID_LENGTH} characters."
    return None
