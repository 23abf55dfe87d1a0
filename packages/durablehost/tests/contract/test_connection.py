"""The check that storage answers, and the mapping of the errors of the Azure SDKs to those of durablehost."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NoReturn

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.queue import generate_account_sas
from azure.storage.queue.aio import QueueServiceClient

from durablehost.clock import SystemClock
from durablehost.emulator.azurite import ACCOUNT_KEY, ACCOUNT_NAME, Azurite, find_command, free_ports, launch
from durablehost.errors import ConfigurationError, StorageError, StorageUnavailable
from durablehost.storage.account import services as services_module
from durablehost.storage.account.check import check_connection
from durablehost.storage.account.connection import ConnectionString, Endpoints, IdentityConnection
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.refusal import Conflict, Missing
from durablehost.storage.account.services import Services, open_services, translated
from durablehost.storage.account.signing import Request
from durablehost.storage.hub.deletion import delete_task_hub
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.messages.queues import MessageQueue
from durablehost.storage.rows.table import Operation, StorageTable, Write
from packages.durablehost.tests.hubs import build


async def test_storage_that_answers_passes_the_check(options: StorageOptions) -> None:
    await check_connection(options.connection)


async def test_missing_storage_is_reported_quickly_in_one_line_with_its_address(hub_name: str) -> None:
    ports = free_ports()
    options = StorageOptions(hub_name=hub_name, connection=ConnectionString(ports.connection_string))
    began = time.monotonic()
    with pytest.raises(StorageUnavailable) as refused:
        await check_connection(options.connection)
    assert ports.queue_endpoint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 10


async def test_a_wrong_key_is_a_configuration_error(azurite: Azurite, options: StorageOptions) -> None:
    key = base64.b64encode(b"another key").decode()
    text = f"AccountName=devstoreaccount1;AccountKey={key};" + azurite.connection_string.split(";", 3)[3]
    with pytest.raises(ConfigurationError, match="credentials"):
        await check_connection(ConnectionString(text))


async def test_an_identity_that_nobody_has_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredential:
        async def get_token(self, *_: str, **__: object) -> NoReturn:
            raise ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token")

    @asynccontextmanager
    async def no_identity(_: IdentityConnection) -> AsyncIterator[NoCredential]:
        yield NoCredential()

    monkeypatch.setattr(services_module, "_identity", no_identity)
    at = "https://127.0.0.1:9/a"
    with pytest.raises(ConfigurationError, match=rf"no Microsoft Entra identity for the Queue service at {at}: log in"):
        await check_connection(IdentityConnection(endpoints=Endpoints(blob=at, queue=at, table=at)))


async def test_the_official_clients_distinguish_missing_from_conflicting(options: StorageOptions) -> None:
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


async def test_the_own_client_distinguishes_missing_from_conflicting(options: StorageOptions) -> None:
    async with open_services(options.connection) as services:
        with pytest.raises(Missing):
            await StorageTable(services.table_service, "Nowhere").get("a", "b")
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


async def test_a_shared_access_signature_gives_only_the_access_it_was_issued_for(
    azurite: Azurite, options: StorageOptions
) -> None:
    expiry = datetime.now(timezone.utc) + timedelta(hours=1)
    signature = generate_account_sas(ACCOUNT_NAME, ACCOUNT_KEY, "sco", "rwdlaup", expiry, services="bqt")
    text = (
        f"BlobEndpoint={azurite.ports.blob_endpoint};QueueEndpoint={azurite.ports.queue_endpoint};"
        f"TableEndpoint={azurite.ports.table_endpoint};SharedAccessSignature={signature}"
    )
    async with open_services(ConnectionString(text)) as services:
        queue = await new_queue(services, options)
        await queue.put("a")
        (message,) = await queue.get(1, visibility_seconds=60)
        assert message.text == "a"
        await services.tables.create_table(options.hub_name)
        table = StorageTable(services.table_service, options.hub_name)
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


async def test_only_the_newest_receipt_of_a_message_hides_and_deletes_it(
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


@pytest.mark.azurite
async def test_a_hub_works_on_an_azurite_that_checks_api_versions(tmp_path: Path, hub_name: str) -> None:
    """As everybody starts it: without the option that `start` adds."""
    code = "import os, sys; os.execv(sys.argv[1], [each for each in sys.argv[1:] if each != '--skipApiVersionCheck'])"
    command = [sys.executable, "-c", code, *find_command()]
    with launch(command, location=tmp_path, ports=free_ports()) as running:
        connection = ConnectionString(running.connection_string)
        with pytest.raises(StorageError, match="API version"), translated():
            async with QueueServiceClient.from_connection_string(connection.text) as newest:
                await newest.get_service_properties()
        await check_connection(connection)
        options = StorageOptions(hub_name=hub_name, connection=connection)
        async with open_task_hub(options, SystemClock()) as hub:
            await hub.create()
            await hub.start()
            start = build.start("one", input_text="x" * 100_000, at=SystemClock().now())
            await hub.start_instance(start, overridable=frozenset())
            record = await hub.get_instance("one")
            assert record is not None
            assert record.input == "x" * 100_000
            await hub.stop()
        deleted = await delete_task_hub(options)
        assert len(deleted["tables"]) == 3
