"""Starts that race with other changes of the same instance, in Azure Storage."""

from __future__ import annotations

import pytest
from aiohttp import ClientConnectionError, ClientHandlerType, ClientRequest, ClientResponse

from durablehost.clock import SystemClock
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import OrchestrationWorkItem
from durablehost.errors import StorageUnavailable
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.refusal import Conflict
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.rows.history_table import HistoryTable
from packages.durablehost.tests.contract.account import OVERRIDABLE, begun, next_item, nothing_comes
from packages.durablehost.tests.contract.failing_transport import open_failing_hub
from packages.durablehost.tests.hubs import build

ANY_STATE = frozenset(RuntimeStatus)


async def test_a_start_replaces_an_instance_that_changes_meanwhile(options: StorageOptions) -> None:
    """The row changes while the start is sent; `AnyState` accepts the start nevertheless."""
    episodes: list[OrchestrationWorkItem] = []

    async def meanwhile(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        if episodes and request.method == "PUT" and "Instances" in request.url.path:
            episode = episodes.pop()
            await hub.complete_orchestration(episode, build.checkpoint(episode))
        return await send(request)

    async with open_failing_hub(options, meanwhile) as hub:
        await hub.create()
        await hub.start()
        episodes.append(await begun(hub))
        start = build.start("order-42")
        await hub.start_instance(start, overridable=ANY_STATE)
        assert not episodes
        record = await hub.get_instance("order-42")
        assert record is not None
        assert (record.execution_id, record.runtime_status) == (start.target.execution_id, RuntimeStatus.PENDING)
        assert (await next_item(hub)).execution_id == start.target.execution_id


async def test_a_start_whose_row_was_written_but_not_acknowledged_is_accepted(options: StorageOptions) -> None:
    losses = 1

    async def lossy(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        nonlocal losses
        response = await send(request)
        if losses and request.method == "PUT" and "Instances" in request.url.path:
            losses -= 1
            raise ClientConnectionError("the answer is lost")
        return response

    async with open_failing_hub(options, lossy) as hub:
        await hub.create()
        await hub.start()
        item = await begun(hub)
        await hub.complete_orchestration(item, build.checkpoint(item, output="1"))
        start = build.start("order-42")
        await hub.start_instance(start, overridable=OVERRIDABLE)
        assert losses == 0
        again = await next_item(hub)
        assert again.execution_id == start.target.execution_id
        await hub.complete_orchestration(again, build.checkpoint(again))
        assert await nothing_comes(hub)


async def test_a_start_is_accepted_if_the_instance_it_replaces_is_purged_meanwhile(
    options: StorageOptions,
) -> None:
    purges = 1

    async def meanwhile(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        nonlocal purges
        if purges and request.method == "PUT" and "Instances" in request.url.path and "If-Match" in request.headers:
            purges -= 1
            await hub.purge_instance("order-42")
        return await send(request)

    async with open_failing_hub(options, meanwhile) as hub:
        await hub.create()
        await hub.start()
        item = await begun(hub)
        await hub.complete_orchestration(item, build.checkpoint(item, output="1"))
        start = build.start("order-42")
        await hub.start_instance(start, overridable=OVERRIDABLE)
        assert purges == 0
        assert (await next_item(hub)).execution_id == start.target.execution_id


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize("part", ["$batch", "Instances"])
async def test_a_purge_removes_no_execution_that_is_started_meanwhile(
    options: StorageOptions, part: str, has_begun: bool
) -> None:
    starts: list[TaskMessage] = []

    async def meanwhile(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        is_deletion = request.method == ("POST" if part == "$batch" else "DELETE") and part in request.url.path
        if starts and is_deletion:
            start = starts.pop()
            await hub.start_instance(start, overridable=OVERRIDABLE)
            if has_begun:
                again = await next_item(hub)
                await hub.complete_orchestration(again, build.checkpoint(again))
        return await send(request)

    async with open_failing_hub(options, meanwhile) as hub:
        await hub.create()
        await hub.start()
        item = await begun(hub)
        await hub.complete_orchestration(item, build.checkpoint(item, output="1"))
        start = build.start("order-42")
        starts.append(start)
        assert await hub.purge_instance("order-42")
        assert not starts
        if not has_begun:
            again = await next_item(hub)
            assert again.execution_id == start.target.execution_id
            await hub.complete_orchestration(again, build.checkpoint(again))
        record = await hub.get_instance("order-42")
        assert record is not None
        assert (record.execution_id, record.runtime_status) == (start.target.execution_id, RuntimeStatus.RUNNING)
        assert len(await hub.read_history("order-42")) == 3


async def test_a_purge_of_an_entity_that_never_rests_is_given_up(
    options: StorageOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def changed(self: HistoryTable, partition_key: str, etags: object) -> None:
        raise Conflict("changed")

    monkeypatch.setattr(HistoryTable, "_delete_rows", changed)
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.create()
        await hub.start()
        await hub.start_instance(build.start("@counter@one"), overridable=OVERRIDABLE)
        item = await next_item(hub)
        await hub.complete_orchestration(item, build.checkpoint(item))
        with pytest.raises(StorageUnavailable, match="changes faster than it can be purged"):
            await hub.purge_instance("@counter@one")
        assert await hub.get_instance("@counter@one") is not None


async def test_two_purges_at_once_remove_the_instance(options: StorageOptions) -> None:
    purges = 1

    async def meanwhile(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        nonlocal purges
        if purges and request.method == "POST" and "$batch" in request.url.path:
            purges -= 1
            assert await hub.purge_instance("order-42")
        return await send(request)

    async with open_failing_hub(options, meanwhile) as hub:
        await hub.create()
        await hub.start()
        item = await begun(hub)
        purges = 0
        await hub.complete_orchestration(item, build.checkpoint(item, output="1"))
        purges = 1
        await hub.purge_instance("order-42")
        assert purges == 0
        assert await hub.get_instance("order-42") is None
        assert await hub.read_history("order-42") == ()
