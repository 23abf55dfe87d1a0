"""A storage account as any other program sees it, and the instance of the stored-bytes tests."""

from __future__ import annotations

import asyncio
import gzip
from datetime import datetime, timezone
from typing import Any

from azure.data.tables import EntityProperty, TableServiceClient
from azure.storage.blob import BlobServiceClient, ContentSettings
from azure.storage.queue import QueueServiceClient

from durablehost.core.history import ExecutionStarted, OrchestrationInstance
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub
from packages.durablehost.tests.eventually import WAIT_SECONDS

EXECUTION_ID = "0f6d2b8c4e1a4c7d9b3a5e6f70819203"
AT = datetime(2026, 1, 5, 10, 0, 0, 500000, tzinfo=timezone.utc)
ORDER = OrchestrationInstance(instance_id="order-42", execution_id=EXECUTION_ID)
START = TaskMessage(
    event=ExecutionStarted(
        timestamp=AT, orchestration_instance=ORDER, name="ProcessOrder", input='{"sku":"A-7"}', generation=0
    ),
    target=ORDER,
)
# The control queue of order-42 in a hub with four partitions.
CONTROL = "-control-00"
OVERRIDABLE = frozenset(status for status in RuntimeStatus if status.is_finished)


class Account:
    """The storage account as any other program sees it."""

    def __init__(self, connection_string: str, hub_name: str) -> None:
        self.hub_name = hub_name
        self.lower = hub_name.lower()
        self.queues = QueueServiceClient.from_connection_string(connection_string)
        self.tables = TableServiceClient.from_connection_string(connection_string)
        self.blobs = BlobServiceClient.from_connection_string(connection_string)

    def close(self) -> None:
        for client in (self.queues, self.tables, self.blobs):
            client.close()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Returns the entities of a table in key order, with plain times and without members added by the service."""
        client = self.tables.get_table_client(f"{self.hub_name}{table}")
        return [{name: _plain(value) for name, value in row.items()} for row in client.list_entities()]

    def etag(self, table: str, row_key: str) -> str:
        client = self.tables.get_table_client(f"{self.hub_name}{table}")
        return str(client.get_entity("order-42", row_key).metadata["etag"])

    def spoil_history(self, instance_id: str, row_key: str) -> None:
        """Makes one event of an instance unreadable."""
        client = self.tables.get_table_client(f"{self.hub_name}History")
        client.update_entity({"PartitionKey": instance_id, "RowKey": row_key, "EventType": "Novelty"})

    def remove_history_row(self, instance_id: str, row_key: str) -> None:
        self.tables.get_table_client(f"{self.hub_name}History").delete_entity(instance_id, row_key)

    def put(self, queue: str, text: str) -> None:
        self.queues.get_queue_client(f"{self.lower}{queue}").send_message(text, time_to_live=-1)

    def texts(self, queue: str) -> list[str]:
        """Returns the visible messages of a queue without removing them."""
        messages = self.queues.get_queue_client(f"{self.lower}{queue}").peek_messages(max_messages=32)
        return [str(message.content) for message in messages]

    def stored(self, queue: str) -> int:
        """The number of messages in a queue, visible or not."""
        client = self.queues.get_queue_client(f"{self.lower}{queue}")
        return client.get_queue_properties().approximate_message_count or 0

    def delete_queues(self) -> None:
        """Deletes the queues of a hub, because messages of all hubs slow down the emulator."""
        for queue in list(self.queues.list_queues(name_starts_with=f"{self.lower}-")):
            self.queues.delete_queue(queue.name)

    def blob_names(self, container: str = "-largemessages") -> list[str]:
        return list(self.blobs.get_container_client(f"{self.lower}{container}").list_blob_names())

    def blob_text(self, name: str) -> str:
        container = self.blobs.get_container_client(f"{self.lower}-largemessages")
        return gzip.decompress(container.download_blob(name).readall()).decode()

    def put_blob(self, name: str, data: bytes, *, encoding: str | None = None) -> None:
        container = self.blobs.get_container_client(f"{self.lower}-largemessages")
        if not container.exists():
            container.create_container()
        container.upload_blob(name, data, content_settings=ContentSettings(content_encoding=encoding))

    def delete_blobs(self) -> None:
        container = self.blobs.get_container_client(f"{self.lower}-largemessages")
        for name in self.blob_names():
            container.delete_blob(name)


def _plain(value: Any) -> Any:
    assert not isinstance(value, EntityProperty), f"{value} is Int64, not Int32"
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value


NOTHING_COMES_SECONDS = 0.4


async def nothing_comes(hub: TaskHub) -> bool:
    """True if no item is handed out for a while."""
    try:
        await asyncio.wait_for(hub.fetch_orchestration(), NOTHING_COMES_SECONDS)
    except asyncio.TimeoutError:
        return True
    return False


async def next_item(hub: TaskHub) -> OrchestrationWorkItem:
    return await asyncio.wait_for(hub.fetch_orchestration(), WAIT_SECONDS)


async def begun(hub: TaskHub) -> OrchestrationWorkItem:
    await hub.start_instance(START, overridable=OVERRIDABLE)
    return await next_item(hub)
