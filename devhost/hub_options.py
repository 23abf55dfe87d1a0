"""The task hub that the settings of an app describe, as the storage wants to be told."""

from __future__ import annotations

from devhost.settings import Settings
from devhost.storage.connection import connection_from_settings
from devhost.storage.options import StorageOptions


def hub_options(settings: Settings) -> StorageOptions:
    """All but who the host is.

    Raises:
        ConfigurationError: the storage connection is not set, or wrong.
    """
    storage = settings.storage
    return StorageOptions(
        hub_name=settings.durable.hub_name,
        connection=connection_from_settings(storage.connection, storage.connection_name),
        partition_count=storage.partition_count,
        control_queue_batch_size=storage.control_queue_batch_size,
        control_queue_buffer_threshold=storage.control_queue_buffer_threshold,
        control_queue_visibility_seconds=storage.control_queue_visibility_seconds,
        work_item_visibility_seconds=storage.work_item_visibility_seconds,
        max_polling_interval_seconds=storage.max_polling_interval_seconds,
    )
