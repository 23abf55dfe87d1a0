"""Work that is given up: an instance fails, callers of an entity get an error, a task fails; nothing is redelivered."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.app.model import FunctionApp, TriggerKind
from durablehost.core.entity_messages import EntityRequest, request_to_text
from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    ExecutionTerminated,
    OrchestrationInstance,
    SubOrchestrationInstanceFailed,
    TaskFailed,
)
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.activities import Activities
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.dispatcher import Engine, EngineOptions
from durablehost.engine.entities import Entities
from durablehost.engine.instances import Instances
from durablehost.engine.orchestrations import Orchestrations
from durablehost.errors import StorageRefused
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryTaskHub
from packages.durablehost.tests.unit.core.examples import PARENT
from packages.durablehost.tests.unit.engine.scripted import (
    APP,
    ScriptedExecutor,
    call,
    function,
    orchestrator_state,
    returned,
)

ODD = KeyError("what nobody foresaw")
SENTENCE = "durablehost could not carry it out (KeyError: 'what nobody foresaw'); the log of the host has the details."
COUNTER = function("Counter", "entityTrigger")


class World:
    """A hub in memory, with its work sources run step by step."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hub = MemoryTaskHub(self.clock)
        self.executor = ScriptedExecutor()
        orchestrators = APP.of_kind(TriggerKind.ORCHESTRATION)
        self.client = OrchestrationClient(self.hub, orchestrators, self.clock, entity_functions={"counter": COUNTER})
        self.instances = Instances(
            self.hub,
            Orchestrations(self.hub, self.executor, orchestrators, self.clock),
            Entities(self.hub, self.executor, {"counter": COUNTER}, self.clock),
        )
        self.activities = Activities(self.hub, self.executor, APP.of_kind(TriggerKind.ACTIVITY), self.clock)

    async def give_up(self) -> None:
        await self.instances.give_up(await self.hub.fetch_orchestration(), ODD)

    async def ask_counter(self) -> None:
        request = EntityRequest(id="id", operation="add", parent="order", parent_execution="e1")
        event = EventRaised(timestamp=self.clock.now(), name="op", input=request_to_text(request))
        target = OrchestrationInstance(instance_id="@counter@one", execution_id=None)
        await self.hub.send(TaskMessage(event=event, target=target))

    @property
    def events_in_queue(self) -> list[Any]:
        return [stored.message.event for stored in self.hub.storage.control]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.hub.start()
    return world


async def test_an_instance_that_has_not_begun_fails(world: World) -> None:
    instance_id = await world.client.start("Chain", input_text="1")
    await world.give_up()
    record = await world.client.get(instance_id)
    assert record is not None
    assert (record.runtime_status, record.output) == (
        RuntimeStatus.FAILED,
        f"Orchestrator function 'Chain' failed: {SENTENCE}",
    )
    history = await world.client.history(instance_id)
    assert [event.type_name for event in history] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    assert not world.events_in_queue


async def test_a_running_instance_fails_without_recording_the_messages_at_fault(world: World) -> None:
    world.executor.script("Chain", orchestrator_state({"actionType": 6, "externalEventName": "Go"}))
    instance_id = await world.client.start("Chain")
    await world.instances.process(await world.hub.fetch_orchestration())
    await world.client.raise_event(instance_id, "Go", "1")
    await world.give_up()
    record = await world.client.get(instance_id)
    assert record is not None
    assert record.runtime_status is RuntimeStatus.FAILED
    assert not any(isinstance(event, EventRaised) for event in await world.client.history(instance_id))
    assert not world.events_in_queue


async def test_a_parent_gets_the_failure_of_a_child_that_is_given_up(world: World) -> None:
    child = OrchestrationInstance(instance_id="child", execution_id="c1")
    start = ExecutionStarted(
        timestamp=world.clock.now(), orchestration_instance=child, name="Chain", parent_instance=PARENT
    )
    await world.hub.send(TaskMessage(event=start, target=child))
    await world.give_up()
    (result,) = world.events_in_queue
    assert isinstance(result, SubOrchestrationInstanceFailed)
    assert result.reason == f"Orchestrator function 'Chain' failed: {SENTENCE}"


async def test_a_start_that_storage_refuses_leaves_a_failed_record(world: World) -> None:
    instance_id = await world.client.start("Chain")

    def refuse_history(operation: str) -> None:
        if operation == "history":
            raise StorageRefused("the property is too large")

    world.hub.storage.before_write = refuse_history
    await world.give_up()
    record = await world.client.get(instance_id)
    assert record is not None
    assert record.runtime_status is RuntimeStatus.FAILED
    assert not world.events_in_queue


async def test_messages_for_a_finished_instance_are_dropped(world: World) -> None:
    instance_id = await world.client.start("Chain")
    await world.give_up()
    record = world.hub.storage.records[instance_id]
    target = OrchestrationInstance(instance_id=instance_id, execution_id=None)
    await world.hub.send(TaskMessage(event=ExecutionTerminated(timestamp=world.clock.now(), input="x"), target=target))
    await world.give_up()
    assert await world.client.get(instance_id) == record
    assert not world.events_in_queue


async def test_callers_of_an_entity_get_the_error_and_its_state_stays(world: World) -> None:
    world.executor.script(
        "Counter",
        returned({"entityExists": True, "entityState": "5", "results": [{"isError": False, "result": "5"}]}),
    )
    await world.ask_counter()
    await world.instances.process(await world.hub.fetch_orchestration())
    world.hub.storage.control.clear()
    await world.ask_counter()
    await world.give_up()
    (result,) = world.events_in_queue
    assert json.loads(json.loads(result.input)["result"]) == f"Entity '@counter@one' failed: {SENTENCE}"
    snapshot = json.loads((await world.client.history("@counter@one"))[1].input)  # type: ignore[attr-defined]
    assert snapshot["state"] == "5"


async def test_callers_of_an_entity_get_the_error_even_if_its_state_cannot_be_read(world: World) -> None:
    world.executor.script(
        "Counter",
        returned({"entityExists": True, "entityState": "5", "results": [{"isError": False, "result": "5"}]}),
    )
    await world.ask_counter()
    await world.instances.process(await world.hub.fetch_orchestration())
    stored = world.hub.storage.histories["@counter@one"]
    broken = tuple(
        replace(event, input="no JSON") if isinstance(event, ExecutionStarted) else event for event in stored.events
    )
    world.hub.storage.histories["@counter@one"] = replace(stored, events=broken)
    world.hub.storage.control.clear()
    await world.ask_counter()
    await world.give_up()
    (result,) = world.events_in_queue
    assert json.loads(result.input)["exceptionType"] == "Error"


async def test_a_task_that_is_given_up_fails(world: World) -> None:
    world.executor.script("Chain", orchestrator_state(call("Say")))
    await world.client.start("Chain")
    await world.instances.process(await world.hub.fetch_orchestration())
    await world.activities.give_up(await world.hub.fetch_activity(), ODD)
    (result,) = world.events_in_queue
    assert isinstance(result, TaskFailed)
    assert result.reason == f"Activity function 'Say' failed: {SENTENCE}"
    assert not world.hub.storage.work_items


@pytest.mark.parametrize("odd", ["Chain", "Say"])
async def test_an_unforeseen_error_ends_an_instance_with_one_traceback(
    odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.executor.script("Chain", orchestrator_state(call("Say")), orchestrator_state(call("Say"), error="it failed"))
    world.executor.script(odd, ODD)
    app = FunctionApp(root=APP.root, functions=APP.functions)
    engine = Engine(world.hub, world.executor, app, world.clock, EngineOptions(max_orchestrations=5, max_activities=5))
    stopping = asyncio.Event()
    await world.hub.start()
    running = asyncio.create_task(engine.run(stopping))
    with caplog.at_level(logging.WARNING):
        instance_id = await world.client.start("Chain")

        async def failed_when_time_passes() -> bool:
            world.clock.advance(30)
            record = await world.client.get(instance_id)
            return record is not None and record.runtime_status is RuntimeStatus.FAILED

        await eventually(failed_when_time_passes)
    stopping.set()
    await running
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    assert not world.events_in_queue
    assert not world.hub.storage.work_items
