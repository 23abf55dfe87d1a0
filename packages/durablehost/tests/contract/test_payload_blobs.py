"""The blobs of large payloads: which of them stay when an instance continues as new, and at a crash in between."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from durablehost.clock import SystemClock
from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.history import ExecutionResumed, ExecutionStarted, ExecutionSuspended, HistoryEvent
from durablehost.core.lineage import derived_execution_id
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub
from durablehost.errors import StorageError, UnreadableState
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import AT, OVERRIDABLE, START, Account, next_item
from packages.durablehost.tests.contract.failing_transport import Line, open_failing_hub
from packages.durablehost.tests.hubs import build

ID = "order-42"
LARGE = "x" * 60_000
# After the upload, the history (refused once, since its rows exist), the record, and the deletion of the old blob.
WRITES = (1, 3, 4, 5)


async def begin(hub: TaskHub, *more: HistoryEvent) -> None:
    """Stores a first execution with a large input."""
    start = build.start(ID, execution_id=START.target.execution_id, input_text=f"0{LARGE}", at=AT)
    await hub.start_instance(start, overridable=OVERRIDABLE)
    item = await next_item(hub)
    await hub.complete_orchestration(item, build.checkpoint(item, *more))


def next_execution(item: OrchestrationWorkItem) -> Checkpoint:
    """The checkpoint of an item whose execution continues as new."""
    started = next(event for event in item.history if isinstance(event, ExecutionStarted))
    execution_id = derived_execution_id(item.execution_id or "", "next")
    started = replace(
        started,
        timestamp=started.timestamp + timedelta(seconds=1),
        orchestration_instance=replace(started.orchestration_instance, execution_id=execution_id),
        input=f"{int((started.input or '')[0]) + 1}{LARGE}",
    )
    return Checkpoint(
        new_events=build.episode(replace(item, messages=()), started),
        update=InstanceUpdate(execution_id=execution_id, last_updated_at=AT, started=started),
    )


async def continue_as_new(hub: TaskHub) -> None:
    await hub.send(build.event_raised(ID, "go"))
    item = await next_item(hub)
    await hub.complete_orchestration(item, next_execution(item))


def history_blobs(account: Account) -> list[str]:
    return [name for name in account.blob_names() if "/history-" in name]


async def input_digit(hub: TaskHub) -> str:
    """The first character of the input, which the history and the record agree on, all blobs being there."""
    record = await hub.get_instance(ID)
    assert record is not None
    assert record.problem is None
    (started,) = [event for event in await hub.read_history(ID) if isinstance(event, ExecutionStarted)]
    assert started.input is not None
    assert started.input[1:] == LARGE
    assert record.input is not None
    assert record.input[1:] == LARGE
    assert record.input[0] in (started.input[0], str(int(started.input[0]) - 1))
    return started.input[0]


async def test_the_blobs_of_an_execution_that_has_continued_as_new_are_deleted(hub: TaskHub, account: Account) -> None:
    await begin(hub)
    for _ in range(3):
        await continue_as_new(hub)
    assert len(history_blobs(account)) == 1
    assert await input_digit(hub) == "3"


async def test_another_host_deletes_the_blobs_that_it_finds_in_the_history(
    options: StorageOptions, account: Account
) -> None:
    async with open_task_hub(options, SystemClock()) as first:
        await first.create()
        await first.start()
        await begin(first)
    async with open_task_hub(replace(options, worker_id="host-b"), SystemClock()) as second:
        await second.start()
        await continue_as_new(second)
    assert len(history_blobs(account)) == 1


async def test_a_blob_that_the_record_shows_stays(hub: TaskHub) -> None:
    await begin(hub)
    await hub.send(build.event_raised(ID, "pause"))
    item = await next_item(hub)
    suspended = build.checkpoint(
        item, ExecutionSuspended(timestamp=AT, reason=LARGE), ExecutionResumed(timestamp=AT, reason=f"no {LARGE}")
    )
    assert suspended.update is not None
    update = replace(suspended.update, runtime_status=RuntimeStatus.RUNNING, output=LARGE)
    await hub.complete_orchestration(item, replace(suspended, update=update))
    await continue_as_new(hub)

    record = await hub.get_instance(ID)
    assert record is not None
    assert (record.problem, record.output) == (None, LARGE)


async def test_a_record_can_be_read_without_its_blobs(hub: TaskHub) -> None:
    await begin(hub)
    record = await hub.peek_instance(ID)
    assert record is not None
    assert record.runtime_status is RuntimeStatus.RUNNING
    assert LARGE not in (record.input or "")


@pytest.mark.parametrize("writes", WRITES)
async def test_no_crash_leaves_a_reference_to_a_deleted_blob(
    options: StorageOptions, account: Account, writes: int
) -> None:
    options = replace(options, control_queue_visibility_seconds=1, is_abandoned_owner=lambda owner: owner == "host-a")
    line = Line()
    async with open_failing_hub(options, line) as first:
        await first.create()
        await first.start()
        await begin(first)
        await first.send(build.event_raised(ID, "go"))
        item = await next_item(first)
        line.writes_left = writes
        with suppress(StorageError):
            await first.complete_orchestration(item, next_execution(item))
        line.cut()
    async with open_task_hub(replace(options, worker_id="host-b"), SystemClock()) as second:
        stored = int(await input_digit(second))
        assert stored == (writes >= 3)
        await second.start()
        await continue_as_new(second)
        assert await input_digit(second) == str(stored + 1)


class Interruption:
    """A connection that continues the instance as new on another host before the first blob is downloaded."""

    def __init__(self, hub: TaskHub) -> None:
        self._hub = hub
        self.is_due = False

    async def __call__(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        if self.is_due and request.method == "GET" and "/history-" in request.url.path:
            self.is_due = False
            await continue_as_new(self._hub)
        return await send(request)


async def test_who_reads_while_an_instance_continues_as_new_reads_the_next_execution(
    hub: TaskHub, options: StorageOptions, account: Account
) -> None:
    await begin(hub)
    line = Interruption(hub)
    async with open_failing_hub(replace(options, worker_id="host-b"), line) as reader:
        line.is_due = True
        (_, started, *_) = await reader.read_history(ID)
        assert isinstance(started, ExecutionStarted)
        assert (started.input or "")[0] == "1"
        line.is_due = True
        record = await reader.get_instance(ID)
        assert record is not None
        assert record.problem is None
        assert (record.input or "")[0] == "2"
        line.is_due = True
        (listed,) = (await reader.list_instances(build.EVERYTHING, page_size=10)).records
        assert (listed.problem, (listed.input or "")[0]) == (None, "3")

        account.delete_blobs()
        with pytest.raises(UnreadableState):
            await reader.read_history(ID)
