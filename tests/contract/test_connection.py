"""Whether storage answers, and what its refusals become: the one place where SDK errors turn into devhost's."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from azure.storage.queue import generate_account_sas

from devhost.azurite import ACCOUNT_KEY, ACCOUNT_NAME, Azurite, free_ports
from devhost.errors import ConfigurationError, StorageError, StorageUnavailable
from devhost.storage.check import check_connection
from devhost.storage.connection import ConnectionString
from devhost.storage.entity_table import EntityTable, Operation, Write
from devhost.storage.options import StorageOptions
from devhost.storage.queues import MessageQueue
from devhost.storage.refusal import Conflict, Missing
from devhost.storage.services import Services, open_services, translated
from devhost.storage.signing import Request


async def test_a_storage_that_answers_passes(options: StorageOptions) -> None:
    await check_connection(options)


async def test_no_storage_is_told_in_one_line_with_its_address_and_soon(hub_name: str) -> None:
    ports = free_ports()
    options = StorageOptions(hub_name=hub_name, connection=ConnectionString(ports.connection_string))
    began = time.monotonic()
    with pytest.raises(StorageUnavailable) as refused:
        await check_connection(options)
    assert ports.queue_endpoint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 10


async def test_a_wrong_key_is_for_the_developer_to_mend(azurite: Azurite, options: StorageOptions) -> None:
    key = base64.b64encode(b"another key").decode()
    text = f"AccountName=devstoreaccount1;AccountKey={key};" + azurite.connection_string.split(";", 3)[3]
    with pytest.raises(ConfigurationError, match="credentials"):
        await check_connection(replace(options, connection=ConnectionString(text)))


async def test_absence_and_conflict_are_told_apart_by_the_official_clients(options: StorageOptions) -> None:
    async with open_services(options.connection) as services:
        table = services.tables.get_table_client("Nowhere")
        with pytest.raises(Missing), translated():
            await table.get_entity("a", "b")
        queue = await new_queue(services, options)
        official = services.queues.get_queue_client(queue.name)
        with pytest.raises(Missing), translated():
            await official.delete_message("nobody", "cmVjZWlwdA==")
        await queue.put("a")
        (message,) = await queue.get(1, visibility_seconds=60)
        with pytest.raises(Conflict), translated():
            await official.delete_message(message.message_id, "c3RhbGU=")


async def test_absence_and_conflict_are_told_apart_without_them(options: StorageOptions) -> None:
    async with open_services(options.connection) as services:
        with pytest.raises(Missing):
            await EntityTable(services.table_service, "Nowhere").get("a", "b")
        queue = await new_queue(services, options)
        messages = f"{queue.name}/messages"
        with pytest.raises(Missing):
            await services.queue_service.send(
                Request(method="DELETE", path=f"{messages}/nobody", query={"popreceipt": "cmVjZWlwdA=="})
            )
        message = await queue.put("a", delay_seconds=60)
        with pytest.raises(Conflict):
            await services.queue_service.send(
                Request(method="DELETE", path=f"{messages}/{message.message_id}", query={"popreceipt": "c3RhbGU="})
            )


async def test_a_shared_access_signature_opens_what_it_was_issued_for(
    azurite: Azurite, options: StorageOptions
) -> None:
    expiry = datetime.now(timezone.utc) + timedelta(hours=1)
    signature = generate_account_sas(ACCOUNT_NAME, ACCOUNT_KEY, "sco", "rwdlaup", expiry, services="bqt")
    text = (
        f"BlobEndpoint={azurite.blob_endpoint};QueueEndpoint={azurite.queue_endpoint};"
        f"TableEndpoint={azurite.table_endpoint};SharedAccessSignature={signature}"
    )
    async with open_services(ConnectionString(text)) as services:
        queue = await new_queue(services, options)
        await queue.put("a")
        (message,) = await queue.get(1, visibility_seconds=60)
        assert message.text == "a"
        await services.tables.create_table(options.hub_name)
        table = EntityTable(services.table_service, options.hub_name)
        await table.write_together([Operation(Write.INSERT, {"PartitionKey": "a", "RowKey": "b"})])
        assert [row.columns["RowKey"] for row in await table.query("PartitionKey eq 'a'")] == ["b"]


async def new_queue(services: Services, options: StorageOptions) -> MessageQueue:
    queue = MessageQueue(services.queue_service, f"{options.hub_name.lower()}-queue")
    await queue.create()
    await queue.create()
    return queue


async def test_a_refusal_without_a_name_is_still_a_storage_error(options: StorageOptions) -> None:
    async with open_services(options.connection) as services:
        queue = await new_queue(services, options)
        with pytest.raises(StorageError):
            await queue.put("x" * 70_000)


async def test_a_message_received_again_is_only_hidden_and_deleted_by_its_newest_receipt(
    options: StorageOptions,
) -> None:
    async with open_services(options.connection) as services:
        queue = await new_queue(services, options)
        await queue.put("a")
        (first,) = await queue.get(1, visibility_seconds=60)
        await queue.hide(first, 0)
        (second,) = await queue.get(1, visibility_seconds=60)
        assert second.dequeue_count == 2
        stale = replace(first, pop_receipt="c3RhbGU=")
        await queue.hide(stale, 0)
        await queue.delete(stale)
        assert await queue.get(1, visibility_seconds=60) == []
        await queue.delete(second)
        await queue.delete(second)
