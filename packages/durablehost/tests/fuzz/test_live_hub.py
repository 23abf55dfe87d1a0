"""A host on a hub full of mutated messages, rows and blobs: it survives, and valid runs end exactly.

Some 300 mutated messages and rows by default; `-m soak` uses other seeds. Runs on Azurite, with the real SDK inside
the test.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("anyio")

from durablehost.app.model import FunctionApp
from durablehost.clock import SystemClock
from durablehost.core.entity_messages import request_to_text
from durablehost.core.history import EventRaised, ExecutionStarted, OrchestrationInstance
from durablehost.core.ids import EntityId, partition_of
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.entity_client import EntityClient
from durablehost.engine.ports import InstanceRecord, TaskHub
from durablehost.errors import StorageError
from durablehost.storage.account.names import HubNames, row_key
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.services import Services, open_services
from durablehost.storage.account.signing import Request
from durablehost.storage.concurrency import call_each
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.messages.queues import MessageQueue
from durablehost.storage.rows.history_rows import row_of_event
from durablehost.storage.rows.message_json import envelope_to_text, wrapper_to_text
from durablehost.web.status_view import status_json
from packages.durablehost.tests.contract.account import OVERRIDABLE
from packages.durablehost.tests.contract.conftest import options
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.in_process import Chunks, assert_exact, engine_on, fan_out, start_run
from packages.durablehost.tests.fuzz.mutations import mutated, mutated_bytes, mutated_text
from packages.durablehost.tests.fuzz.seeds import (
    AT,
    EXECUTION_ID,
    HISTORY,
    REQUESTS,
    entity_documents,
    instance_rows,
    lease_rows,
    message_documents,
)
from packages.durablehost.tests.fuzz.test_readers import on_the_wire
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import function

__all__ = ["options"]

APP = FunctionApp(
    root=Path(),
    functions=(
        function("FanOut", "orchestrationTrigger"),
        function("Wait", "orchestrationTrigger"),
        function("Chunk", "activityTrigger"),
        function("counter", "entityTrigger"),
    ),
)
ADD_ONE = replace(REQUESTS[0], input='"1"')
CHUNKS = 10
RUNS = 4
PARTITIONS = 4
LONGEST_TEXT = 40_000
# Unexpected errors leave one of these in the log, or a traceback.
DEFECTS = ("unexpectedly", "is begun again", "The task '", "never retrieved")


def wait(context: df.DurableOrchestrationContext) -> Any:
    return (yield context.wait_for_external_event("Go"))


def counter(context: df.DurableEntityContext) -> None:
    context.set_state((context.get_state(lambda: 0) or 0) + (context.get_input() or 0))


class Apart(Chunks):
    def __init__(self) -> None:
        super().__init__()
        self._sdk = SdkExecutor({"FanOut": fan_out, "Wait": wait}, {"Chunk": self._process}, {"counter": counter})


class Vandal:
    """Puts mutated messages, rows and blobs into the storage of a hub."""

    def __init__(self, services: Services, options: StorageOptions, seed: int) -> None:
        self._services = services
        self._names = HubNames(options.hub_name)
        self._rng = random.Random(seed)
        self._container = services.blobs.get_container_client(self._names.large_messages_container)
        self.count = 0

    async def messages(self, count: int) -> None:
        """Sends two thirds of them to instances, the others to the work-item queue."""
        queues = [self._names.control_queue(number) for number in range(PARTITIONS)] + [self._names.work_item_queue] * 2
        documents = message_documents()
        texts: list[tuple[str, str]] = []
        while len(texts) < count:
            document = self._rng.choice(documents)
            is_text = self._rng.random() < 0.2
            text = (
                mutated_text(json.dumps(document), self._rng) if is_text else json.dumps(mutated(document, self._rng))
            )
            if can_be_sent(text):
                texts.append((self._rng.choice(queues), text))
        await self._put_all(texts)

    async def blobs(self, count: int) -> None:
        """Sends messages whose blobs are damaged, missing, or valid."""
        texts = []
        if not await self._container.exists():
            await self._container.create_container()
        for number in range(count):
            document = json.dumps(self._rng.choice(message_documents()))
            data = gzip.compress(document.encode(self._rng.choice(("utf-8", "utf-16"))))
            name = f"victim/message-{number}.json.gz"
            if number % 5:
                await self._container.upload_blob(name, mutated_bytes(data, self._rng), overwrite=True)
            texts.append((self._names.control_queue(number % PARTITIONS), wrapper_to_text(name)))
        await self._put_all(texts)

    async def histories(self, count: int) -> None:
        """Instances with a damaged row in their histories, each with a message that wakes it."""
        rows: list[dict[str, Any]] = []
        woken: list[TaskMessage] = []
        for number in range(count):
            instance_id = f"victim-{number}"
            damaged = self._rng.randrange(len(HISTORY))
            for index, event in enumerate(HISTORY):
                row = on_the_wire(row_of_event(event, EXECUTION_ID))
                row = mutated(row, self._rng) if index == damaged else row
                rows.append({**row, "PartitionKey": instance_id, "RowKey": row_key(index)})
            rows.append({"PartitionKey": instance_id, "RowKey": "sentinel", "ExecutionId": EXECUTION_ID})
            woken.append(build.event_raised(instance_id, "Go"))
        await self._insert(self._names.history_table, rows)
        await self._send(woken)

    async def entities(self, count: int) -> None:
        rows: list[dict[str, Any]] = []
        asked: list[TaskMessage] = []
        for number in range(count):
            me = OrchestrationInstance(instance_id=f"@counter@victim-{number}", execution_id=EXECUTION_ID)
            stored = json.dumps(mutated(self._rng.choice(entity_documents()), self._rng))
            start = ExecutionStarted(timestamp=AT, orchestration_instance=me, name=me.instance_id, input=stored)
            row = on_the_wire(row_of_event(start, EXECUTION_ID))
            rows.append({**row, "PartitionKey": me.instance_id, "RowKey": row_key(0)})
            instance = on_the_wire(instance_rows()[0])
            asked.append(request_to(me.instance_id))
            await self._insert(
                self._names.instances_table, [{**instance, "PartitionKey": me.instance_id, "Input": stored}]
            )
        await self._insert(self._names.history_table, rows)
        await self._send(asked)

    async def records(self, count: int) -> None:
        seeds = [on_the_wire(row) for row in instance_rows()]
        rows = [
            {**mutated(self._rng.choice(seeds), self._rng), "PartitionKey": f"victim-{number}", "RowKey": ""}
            for number in range(count)
        ]
        await self._insert(self._names.instances_table, rows)

    async def leases(self) -> None:
        """Damages all but one of the leases."""
        table = self._services.tables.get_table_client(self._names.partitions_table)
        rows = []
        for number in range(PARTITIONS - 1):
            name = self._names.control_queue(number)
            await table.delete_entity("", name)
            rows.append({**mutated(on_the_wire(lease_rows()[1]), self._rng), "PartitionKey": "", "RowKey": name})
        await self._insert(self._names.partitions_table, rows)

    async def _send(self, messages: Iterable[TaskMessage]) -> None:
        await self._put_all(
            (
                self._names.control_queue(partition_of(message.target.instance_id, PARTITIONS)),
                envelope_to_text(message, activity_id="a", sequence_number=1),
            )
            for message in messages
        )

    async def _put_all(self, texts: Iterable[tuple[str, str]]) -> None:
        async def put(each: tuple[str, str]) -> None:
            await MessageQueue(self._services.queue_service, each[0]).put(each[1])
            self.count += 1

        await call_each(put, texts)

    async def _insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        headers = {
            "Accept": "application/json;odata=nometadata",
            "DataServiceVersion": "3.0",
            "Content-Type": "application/json",
            "Prefer": "return-no-content",
        }

        async def insert(row: dict[str, Any]) -> None:
            request = Request(method="POST", path=table, headers=dict(headers), body=json.dumps(row).encode())
            try:
                await self._services.table_service.send(request)
                self.count += 1
            except StorageError:
                return  # not even the emulator accepts it

        await call_each(insert, rows)


def can_be_sent(text: str) -> bool:
    """True if XML can represent the text and a queue accepts it."""
    return len(text) < LONGEST_TEXT and all(" " <= letter < "\ud800" or letter > "\U0000ffff" for letter in text)


def request_to(entity_id: str) -> TaskMessage:
    event = EventRaised(timestamp=build.now(), name="op", input=request_to_text(ADD_ONE))
    return TaskMessage(event=event, target=OrchestrationInstance(instance_id=entity_id, execution_id=None))


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


async def vandalize(vandal: Vandal, *, scale: int) -> None:
    await vandal.messages(30 * scale)
    await vandal.blobs(2 * scale)
    await vandal.histories(4 * scale)
    await vandal.entities(2 * scale)
    await vandal.records(8 * scale)


async def ended(hub: TaskHub, instance_id: str) -> InstanceRecord | None:
    record = await hub.get_instance(instance_id)
    return record if record and record.runtime_status.is_finished else None


async def all_records(hub: TaskHub) -> list[InstanceRecord]:
    records: list[InstanceRecord] = []
    token = None
    while True:
        page = await hub.list_instances(build.EVERYTHING, page_size=50, continuation_token=token)
        records += page.records
        token = page.continuation_token
        if token is None:
            return records


async def live_through(options: StorageOptions, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    executor = Apart()
    async with (
        open_services(options.connection, pause=no_pause) as services,
        open_task_hub(options, SystemClock()) as hub,
    ):
        await hub.create()
        vandal = Vandal(services, options, seed)
        await vandalize(vandal, scale=5)
        await vandal.leases()
        await hub.start()
        async with engine_on(hub, executor, app=APP):
            await hub.start_instance(build.start("waits", name="Wait"), overridable=OVERRIDABLE)
            for number in range(RUNS):
                await start_run(hub, f"sound {number}", CHUNKS)
            await vandalize(vandal, scale=2)
            for _ in range(3):
                await hub.send(request_to("@counter@sound"))
            await hub.send(build.event_raised("waits", "Go", input_text='"on"'))
            for number in range(RUNS):
                await assert_exact(hub, f"sound {number}", CHUNKS)
            waited = await eventually(lambda: ended(hub, "waits"))
            assert waited is not None
            assert (waited.runtime_status, waited.output) == (RuntimeStatus.COMPLETED, '"on"')
            entities = OrchestrationClient(hub, None, SystemClock()).entities
            await eventually(lambda: has_counted(entities))
            records = await all_records(hub)
            assert {"waits", "@counter@sound", *(f"sound {number}" for number in range(RUNS))} <= {
                record.instance_id for record in records
            }
            for record in records:
                json.loads((await status_json(record, with_input=True)).encode())
    assert vandal.count > 400
    surprises = [each for each in caplog.records if each.exc_info or any(d in each.getMessage() for d in DEFECTS)]
    assert not surprises, [(each.getMessage(), each.exc_info) for each in surprises[:3]]
    assert len(caplog.records) < vandal.count


async def has_counted(entities: EntityClient) -> bool:
    return bool(await entities.state(EntityId.of("counter", "sound")) == "3")


async def test_a_host_lives_on_a_hub_full_of_garbage(options: StorageOptions, caplog: pytest.LogCaptureFixture) -> None:
    await live_through(options, 12, caplog)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
async def test_a_host_lives_on_a_hub_full_of_other_garbage(
    options: StorageOptions, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    await live_through(options, seed, caplog)
