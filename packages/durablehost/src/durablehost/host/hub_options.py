"""Makes the options of the task hub from the settings of an app."""

from __future__ import annotations

from durablehost.settings import Settings
from durablehost.storage.account.connection import connection_from_settings
from durablehost.storage.account.options import StorageOptions


def hub_options(settings: Settings) -> StorageOptions:
    """All options but those that identify the host and its journal.

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
