"""The storage is emptied, wholly or in part, under a running host: the host creates its hub anew and goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("anyio")

from azure.core.exceptions import ResourceNotFoundError

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.app.model import FunctionApp
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import TaskHub
from packages.durablehost.tests.contract.account import OVERRIDABLE, Account
from packages.durablehost.tests.contract.conftest import hub, idle_hub, options
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.in_process import Chunks, assert_exact, engine_on, fan_out, start_run
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import function

__all__ = ["hub", "idle_hub", "options"]

APP = FunctionApp(
    root=Path(),
    functions=(
        function("FanOut", "orchestrationTrigger"),
        function("Wait", "orchestrationTrigger"),
        function("Sleep", "orchestrationTrigger"),
        function("Chunk", "activityTrigger"),
    ),
)
CHUNKS = 5


def wait(context: df.DurableOrchestrationContext) -> Any:
    """Waits for an event that never comes."""
    return (yield context.wait_for_external_event("Never"))


def sleep(context: df.DurableOrchestrationContext) -> Any:
    yield context.create_timer(context.current_utc_datetime + timedelta(days=1))


class Gated(Chunks):
    """Activities wait until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = asyncio.Event()
        self.waiting = 0
        self._sdk = SdkExecutor({"FanOut": fan_out, "Wait": wait, "Sleep": sleep}, {"Chunk": self._process}, {})

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name == "Chunk" and not self.is_open.is_set():
            self.waiting += 1
            await self.is_open.wait()
        return await super().invoke(invocation)


def delete(
    account: Account, *, queues: str | None = None, tables: str | None = None, containers: str | None = None
) -> None:
    """Deletes the resources of the hub whose names have this suffix; the empty suffix deletes all."""
    if queues is not None:
        for queue in list(account.queues.list_queues(name_starts_with=account.lower)):
            if queue.name.endswith(queues):
                account.queues.delete_queue(queue.name)
    if tables is not None:
        for table in list(account.tables.list_tables()):
            if table.name.startswith(account.hub_name) and table.name.endswith(tables):
                account.tables.delete_table(table.name)
    if containers is not None:
        for container in list(account.blobs.list_containers(name_starts_with=account.lower)):
            if container.name.endswith(containers):
                with suppress(ResourceNotFoundError):
                    account.blobs.delete_container(container.name)


async def is_running(hub: TaskHub, instance_id: str) -> bool:
    record = await hub.get_instance(instance_id)
    return record is not None and record.runtime_status is RuntimeStatus.RUNNING


async def busy(hub: TaskHub, executor: Gated) -> None:
    """Starts instances of all kinds: working, waiting for an event or a timer, with an event not awaited yet."""
    await start_run(hub, "before", CHUNKS, letters=20_000)
    for name in ("Wait", "Sleep"):
        await hub.start_instance(build.start(name.lower(), name=name), overridable=OVERRIDABLE)
    await eventually(lambda: is_running(hub, "wait"))
    await eventually(lambda: is_running(hub, "sleep"))
    await hub.send(build.event_raised("wait", "Other"))
    await eventually(lambda: executor.waiting == CHUNKS)


async def test_an_emptied_storage_gets_a_new_hub_and_the_host_goes_on(
    hub: TaskHub, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    executor = Gated()
    async with engine_on(hub, executor, app=APP):
        await busy(hub, executor)
        delete(account, queues="", tables="", containers="")
        # The first start afterwards is accepted, whatever the host has noticed by then.
        await start_run(hub, "after", CHUNKS, letters=20_000)
        executor.is_open.set()
        await assert_exact(hub, "after", CHUNKS, letters=20_000)
        # No message from memory has come back.
        assert [row["PartitionKey"] for row in account.rows("Instances")] == ["after"]
        assert {row["PartitionKey"] for row in account.rows("History")} == {"after"}
        await eventually(lambda: stored_messages(account) == 0)
    assert caplog.text.count("The hub is created anew") == 1
    assert len(caplog.records) < 15, [each.getMessage() for each in caplog.records]


def stored_messages(account: Account) -> int:
    queues = account.queues.list_queues(name_starts_with=account.lower)
    return sum(account.stored(queue.name.removeprefix(account.lower)) for queue in queues)


PARTS: dict[str, Callable[[Account], None]] = {
    "control queues": lambda account: delete(account, queues="-control-00"),
    "work-item queue": lambda account: delete(account, queues="-workitems"),
    "history": lambda account: delete(account, tables="History"),
    "instances": lambda account: delete(account, tables="Instances"),
    "leases": lambda account: delete(account, tables="Partitions"),
    "lease rows": lambda account: delete_lease_rows(account),
    "blobs": lambda account: delete(account, containers="-largemessages"),
}


def delete_lease_rows(account: Account) -> None:
    client = account.tables.get_table_client(f"{account.hub_name}Partitions")
    for row in list(client.list_entities()):
        client.delete_entity(row["PartitionKey"], row["RowKey"])


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_of_the_hub_that_is_deleted_is_created_anew(hub: TaskHub, account: Account, part: str) -> None:
    executor = Gated()
    async with engine_on(hub, executor, app=APP):
        await busy(hub, executor)
        PARTS[part](account)
        executor.is_open.set()
        for number in range(4):
            await start_run(hub, f"after {number}", CHUNKS, letters=20_000)
        for number in range(4):
            await assert_exact(hub, f"after {number}", CHUNKS, letters=20_000)
        options = json.loads((await hub.get_instance("after 0")).input or "{}")  # type: ignore[union-attr]
        assert options["chunks"] == CHUNKS


async def test_a_lease_whose_queue_was_deleted_gets_a_new_queue(
    idle_hub: TaskHub, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """The lease is left from a time with more partitions."""
    client = account.tables.get_table_client(f"{account.hub_name}Partitions")
    client.create_entity({"PartitionKey": "", "RowKey": f"{account.lower}-control-07", "IsDraining": False})
    await idle_hub.start()
    executor = Gated()
    executor.is_open.set()
    async with engine_on(idle_hub, executor, app=APP):
        await eventually(lambda: f"{account.lower}-control-07" in [q.name for q in account.queues.list_queues()])
        await start_run(idle_hub, "after", CHUNKS)
        await assert_exact(idle_hub, "after", CHUNKS)
    assert caplog.text.count("The hub is created anew") == 1
