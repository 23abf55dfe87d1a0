"""What a task hub is told from outside: its name, its account and its limits.

Mirrors AzureStorageOrchestrationServiceSettings; the defaults are those of the durable extension.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from devhost.storage.connection import Connection


def default_worker_id() -> str:
    """`{machine}-{process}`: no two hosts that run at the same time may share an id, or both own every partition."""
    return f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"


def _no_owner_is_abandoned(owner: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """Settings of one task hub.

    `partition_count` must not change while work of the hub is in flight. `is_abandoned_owner` says of a worker id that
    its process is known to be gone, so that its partitions are taken at once instead of after their lease has expired.
    An activity that took no longer than `longest_repeatable_seconds` may be done again after a crash, although it had
    ended: its result is not stored by itself, but by the turn that takes it in. `journal_folder` is where hosts of this
    machine keep the receipts of what they hold, for the next one after a kill; None: nowhere.
    """

    hub_name: str
    connection: Connection
    partition_count: int = 4
    control_queue_batch_size: int = 32
    control_queue_buffer_threshold: int = 256
    control_queue_visibility_seconds: int = 300
    work_item_visibility_seconds: int = 300
    max_polling_interval_seconds: float = 30
    longest_repeatable_seconds: float = 1.0
    worker_id: str = field(default_factory=default_worker_id)
    is_abandoned_owner: Callable[[str], bool] = _no_owner_is_abandoned
    journal_folder: Path | None = None
