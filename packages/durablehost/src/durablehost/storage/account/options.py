"""The options of a task hub: its name, its account and its limits.

Mirrors AzureStorageOrchestrationServiceSettings.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from durablehost import defaults
from durablehost.storage.account.connection import Connection


def default_worker_id() -> str:
    """`{machine}-{process}`. Hosts that run at the same time need different ids, or each would own all partitions."""
    return f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"


def _no_owner_is_abandoned(owner: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """The options of one task hub.

    `partition_count` must not change while the hub has unfinished work. `is_abandoned_owner` returns whether the
    process with a worker id is known to be gone: then its partitions are taken at once, not after their leases expire.
    An activity that took at most `longest_repeatable_seconds` may run again after a crash although it had ended: its
    result is stored by the episode that records it, not by a message. In `journal_folder`, if any, the hosts of this
    machine store the receipts of the messages they hold, for the next host after a kill.
    """

    hub_name: str
    connection: Connection
    partition_count: int = defaults.PARTITION_COUNT
    control_queue_batch_size: int = defaults.CONTROL_QUEUE_BATCH_SIZE
    control_queue_buffer_threshold: int = defaults.CONTROL_QUEUE_BUFFER_THRESHOLD
    control_queue_visibility_seconds: int = defaults.VISIBILITY_SECONDS
    work_item_visibility_seconds: int = defaults.VISIBILITY_SECONDS
    max_polling_interval_seconds: float = defaults.MAX_POLLING_INTERVAL_SECONDS
    longest_repeatable_seconds: float = 1.0
    worker_id: str = field(default_factory=default_worker_id)
    is_abandoned_owner: Callable[[str], bool] = _no_owner_is_abandoned
    journal_folder: Path | None = None
