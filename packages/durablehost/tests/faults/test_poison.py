"""Unusable messages are set aside, removed functions fail with a reason, and all other work goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("anyio")

from durablehost.clock import SystemClock
from durablehost.core.history import OrchestrationInstance, TaskScheduled
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.emulator.azurite import Azurite
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import Account
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.crash import FIRST, SECOND, options_on
from packages.durablehost.tests.faults.in_process import APP, Chunks, assert_exact, engine_on, record_of, start_run
from packages.durablehost.tests.faults.proxy import open_proxy
from packages.durablehost.tests.hubs import build

CHUNKS = 10
# The arguments of an activity, as the SDK sends them: JSON in JSON.
CHUNK = json.dumps([json.dumps({"chunk": 3, "text": ""})])
QUEUES = ("-control-00", "-workitems")
UNREADABLE = ("hello", "{", '{"$type":"DurableTask.AzureStorage.MessageData"}', "\U0001f600")


async def test_unreadable_messages_are_set_aside_while_a_run_ends(
    azurite: Azurite, hub_name: str, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_proxy(azurite.ports) as proxy:
        async with open_task_hub(options_on(proxy, hub_name, FIRST), SystemClock()) as hub:
            await hub.create()
            for queue in QUEUES:
                for text in UNREADABLE:
                    account.put(queue, text)
            await hub.start()
            async with engine_on(hub, Chunks()):
                await start_run(hub, "run", CHUNKS)
                await assert_exact(hub, "run", CHUNKS)
                await eventually(lambda: [account.stored(queue) for queue in QUEUES] == [len(UNREADABLE)] * 2)
            calls = proxy.call_count
    assert "is set aside" in caplog.text
    # The message is set aside with growing delays, not polled in a tight loop.
    assert calls < 400


async def test_messages_for_a_purged_instance_harm_no_other_instance(
    azurite: Azurite, hub_name: str, account: Account
) -> None:
    async with open_proxy(azurite.ports) as proxy:
        executor = Chunks()
        async with open_task_hub(options_on(proxy, hub_name, FIRST), SystemClock()) as hub:
            await hub.create()
            await hub.start()
            async with engine_on(hub, executor):
                await start_run(hub, "gone", CHUNKS)
                await assert_exact(hub, "gone", CHUNKS)
                record = await hub.get_instance("gone")
                assert record is not None
                assert await hub.purge_instance("gone")
                target = OrchestrationInstance(instance_id="gone", execution_id=record.execution_id)
                await hub.send(build.task_completed("gone", record.execution_id, 3, "17"))
                await hub.send(build.event_raised("gone", "Approved"))
                request = TaskScheduled(timestamp=build.now(), event_id=3, name="Chunk", input=CHUNK)
                await hub.send(TaskMessage(event=request, target=target, sender=target))
                await start_run(hub, "run", CHUNKS)
                await assert_exact(hub, "run", CHUNKS)
                # The request is run, because nothing shows that its instance is purged; the result is dropped.
                await eventually(lambda: account.stored("-workitems") == 0)
                assert await hub.get_instance("gone") is None
                assert await hub.read_history("gone") == ()


async def test_an_orchestrator_that_was_removed_fails_its_instances_by_name(azurite: Azurite, hub_name: str) -> None:
    """The folder is deleted while an instance runs, and the host is started again."""
    removed = replace(APP, functions=tuple(each for each in APP.functions if each.name != "FanOut"))
    async with open_proxy(azurite.ports) as proxy:
        options = options_on(proxy, hub_name, FIRST)

        def die(chunk: int) -> None:
            proxy.is_down = proxy.is_down or chunk == CHUNKS // 2

        async with open_task_hub(options, SystemClock()) as hub:
            await hub.create()
            await hub.start()
            async with engine_on(hub, Chunks(die)):
                await start_run(hub, "run", CHUNKS)
                await eventually(lambda: proxy.is_down)
        proxy.is_down = False
        async with open_task_hub(replace(options, worker_id=SECOND), SystemClock()) as second:
            await second.start()
            async with engine_on(second, Chunks(), app=removed):
                record = await eventually(lambda: record_of(second, "run"))
    assert record is not None
    assert record.runtime_status is RuntimeStatus.FAILED
    assert "The function 'FanOut' doesn't exist" in (record.output or "")
