"""Whether storage answers, and what its refusals become: the one place where SDK errors turn into devhost's."""

from __future__ import annotations

import base64
import time
from dataclasses import replace

import pytest

from devhost.azurite import Azurite, free_ports
from devhost.errors import ConfigurationError, StorageError, StorageUnavailable
from devhost.storage.check import check_connection
from devhost.storage.connection import ConnectionString
from devhost.storage.options import StorageOptions
from devhost.storage.queues import MessageQueue
from devhost.storage.services import Conflict, Missing, Services, open_services, translated


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


async def test_absence_and_conflict_are_told_apart(options: StorageOptions) -> None:
    async with open_services(options.connection) as services:
        table = services.tables.get_table_client("Nowhere")
        with pytest.raises(Missing), translated():
            await table.get_entity("a", "b")
        queue = await new_queue(services, options)
        with pytest.raises(Missing), translated():
            await services.queues.get_queue_client(queue.name).delete_message("nobody", "cmVjZWlwdA==")
        await queue.put("a")
        (message,) = await queue.get(1, visibility_seconds=60)
        with pytest.raises(Conflict), translated():
            await services.queues.get_queue_client(queue.name).delete_message(message.message_id, "c3RhbGU=")


async def new_queue(services: Services, options: StorageOptions) -> MessageQueue:
    queue = MessageQueue(services.queues.get_queue_client(f"{options.hub_name.lower()}-queue"))
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
