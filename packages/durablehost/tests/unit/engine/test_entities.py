"""Entities over the in-memory hub: which operations run, which responses are sent, what is delivered again."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.core.entity_messages import EntityRequest, reminder_name, request_to_text, scheduled_name
from durablehost.core.history import EventRaised, ExecutionTerminated, HistoryEvent, OrchestrationInstance
from durablehost.core.ids import EntityId
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.entities import Entities
from durablehost.engine.entity_client import EntityQuery
from durablehost.engine.ports import InstanceRecord
from durablehost.errors import FunctionTimeout, RequestError, StorageUnavailable, WorkerCrashed
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryTaskHub
from packages.durablehost.tests.unit.engine.scripted import ScriptedExecutor, function, raised, returned

ONE, TWO = EntityId("counter", "one"), EntityId("counter", "two")
OTHER = EntityRequest(id="other", operation="add", parent="other", parent_execution="e2")
FUNCTIONS = {"counter": function("Counter", "entityTrigger")}


def ran(*results: str, state: str = "1", **members: Any) -> InvocationResult:
    """What the SDK returns for a batch."""
    operations = [{"isError": result.startswith('"'), "result": result} for result in results]
    return returned({"entityExists": True, "entityState": state, "results": operations, "signals": [], **members})


class World:
    """A hub with a client and a processor of entities, run step by step."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hub = MemoryTaskHub(self.clock)
        self.executor = ScriptedExecutor()
        self.entities = Entities(self.hub, self.executor, FUNCTIONS, self.clock, max_batch_size=2)
        self.client = OrchestrationClient(self.hub, {}, self.clock, entity_functions=FUNCTIONS)

    async def send(self, event: HistoryEvent, *, to: str = ONE.instance_id) -> None:
        target = OrchestrationInstance(instance_id=to, execution_id=None)
        await self.hub.send(TaskMessage(event=event, target=target))

    async def ask(self, name: str = "op", **members: Any) -> None:
        request = EntityRequest(
            **{"id": "id", "operation": "add", "parent": "order", "parent_execution": "e1", **members}
        )
        await self.send(EventRaised(timestamp=self.clock.now(), name=name, input=request_to_text(request)))

    async def signal(self, operation: str) -> None:
        await self.client.entities.signal(ONE, operation, None)

    async def episode(self) -> None:
        await self.entities.process(await self.hub.fetch_orchestration())

    @property
    def batches(self) -> list[list[str]]:
        payloads = [json.loads(str(call.inputs["context"])) for call in self.executor.calls]
        return [[operation["name"] for operation in payload["batch"]] for payload in payloads]

    @property
    def responses(self) -> list[Any]:
        events = [each.message.event for each in self.hub.storage.control if each.message.is_from_entity]
        return [json.loads(event.input or "") for event in events if isinstance(event, EventRaised)]

    @property
    def results(self) -> dict[str, set[str]]:
        """The results that were sent, by the ids of the requests."""
        found: dict[str, set[str]] = {}
        for each in self.hub.storage.control:
            if each.message.is_from_entity and isinstance(each.message.event, EventRaised):
                document = json.loads(each.message.event.input or "")
                if "result" in document:
                    found.setdefault(each.message.event.name, set()).add(document["result"])
        return found


async def counted(invocation: Invocation) -> InvocationResult:
    """Adds one for each operation; the result is the sum."""
    payload = json.loads(str(invocation.inputs["context"]))
    first = int(payload["state"] or 0) + 1
    results = [str(first + number) for number in range(len(payload["batch"]))]
    return ran(*results, state=results[-1])


async def status_of(world: World) -> tuple[RuntimeStatus, str | None]:
    record = await world.hub.get_instance("@counter@one")
    assert isinstance(record, InstanceRecord)
    return record.runtime_status, record.output


@pytest.fixture
async def world() -> World:
    world = World()
    await world.hub.start()
    return world


async def test_a_signal_of_a_client_reaches_the_function_and_leaves_its_state(world: World) -> None:
    world.executor.script("Counter", ran("null", state="5"))
    await world.client.entities.signal(ONE, "add", '"5"')
    await world.episode()
    assert world.batches == [["add"]]
    assert await world.client.entities.state(ONE) == "5"
    record = await world.hub.get_instance("@counter@one")
    assert isinstance(record, InstanceRecord)
    assert (record.name, record.custom_status) == ("@counter@one", '{"entityExists":true}')


async def test_no_batch_is_larger_than_the_limit(world: World) -> None:
    world.executor.script("Counter", ran("1", "2"), ran("3"))
    for name in "abc":
        await world.ask(operation=name)
    await world.episode()
    assert world.batches == [["a", "b"], ["c"]]
    assert [response["result"] for response in world.responses] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (raised("RuntimeError", "no"), "Entity function 'counter' failed: RuntimeError: no"),
        (FunctionTimeout("too long"), "Entity function 'counter' failed: too long"),
        (returned({}), "Out of proc entities must return a valid JSON schema"),
        (ran(), "The entity returned 0 results for 1 operations"),
    ],
)
async def test_a_failed_run_fails_its_caller(world: World, outcome: InvocationResult | Exception, text: str) -> None:
    world.executor.script("Counter", outcome)
    await world.ask()
    await world.episode()
    (response,) = world.responses
    assert json.loads(response["result"]) == text
    assert response["exceptionType"] == "Error"


async def test_an_unknown_entity_fails_its_caller(world: World) -> None:
    request = EntityRequest(id="id", operation="add", parent="order", parent_execution="e1")
    event = EventRaised(timestamp=world.clock.now(), name="op", input=request_to_text(request))
    await world.send(event, to="@nobody@one")
    await world.episode()
    (response,) = world.responses
    assert "The function 'nobody' doesn't exist, is disabled, or is not an entity function" in response["result"]


async def test_requests_are_retried_after_crashes_until_they_are_found_to_be_the_cause(world: World) -> None:
    world.executor.script("Counter", WorkerCrashed("python exited with code 3"))
    await world.ask()
    for _ in range(4):
        item = await world.hub.fetch_orchestration()
        with pytest.raises(WorkerCrashed):
            await world.entities.process(item)
        await world.hub.abandon_orchestration(item)
        world.clock.advance(600)
    await world.episode()
    assert "python exited with code 3" in world.responses[0]["result"]


@pytest.mark.parametrize("ends_the_process", [True, False])
async def test_only_the_request_that_breaks_the_function_fails(world: World, ends_the_process: bool) -> None:
    async def run(invocation: Invocation) -> InvocationResult:
        operations = [operation["name"] for operation in json.loads(str(invocation.inputs["context"]))["batch"]]
        if "bad" not in operations and "worse" not in operations:
            return ran(*("1" for _ in operations))
        if ends_the_process:
            raise WorkerCrashed("gone")
        return raised("SystemExit", "3")

    world.executor.scripts["Counter"] = run
    for operation in ("good", "bad", "worse", "fine"):
        await world.ask(operation=operation)
    for _ in range(4 if ends_the_process else 0):
        item = await world.hub.fetch_orchestration()
        with pytest.raises(WorkerCrashed):
            await world.entities.process(item)
        await world.hub.abandon_orchestration(item)
        world.clock.advance(600)
    await world.episode()
    text = json.dumps("Entity function 'counter' failed: " + ("gone" if ends_the_process else "SystemExit: 3"))
    assert [response["result"] for response in world.responses] == ["1", text, text, "1"]


async def test_an_entity_runs_whole_batches_again_when_a_request_that_crashed_is_given_up(world: World) -> None:
    world.executor.script("Counter", WorkerCrashed("gone"))
    await world.signal("bad")
    item = await world.hub.fetch_orchestration()
    with pytest.raises(WorkerCrashed):
        await world.entities.process(item)
    await world.entities.give_up(item, "it is too large")
    world.executor.scripts["Counter"] = counted
    for operation in ("good", "fine"):
        await world.signal(operation)
    await world.episode()
    assert world.batches == [["bad"], ["good", "fine"]]


async def test_a_failed_signal_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.executor.script("Counter", ran('"boom"'))
    await world.client.entities.signal(ONE, "add", None)
    with caplog.at_level(logging.WARNING):
        await world.episode()
    assert caplog.messages == ["The signal 'add' to '@counter@one' failed: \"boom\""]


async def test_a_message_that_is_no_request_is_dropped_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.executor.script("Counter", ran("1"))
    await world.send(EventRaised(timestamp=world.clock.now(), name="op", input="nonsense"))
    await world.ask()
    await world.episode()
    assert world.batches == [["add"]]
    assert "A message to the entity '@counter@one' cannot be read and is dropped" in caplog.text


async def test_a_termination_of_an_entity_that_does_not_exist_changes_nothing(world: World) -> None:
    await world.send(ExecutionTerminated(timestamp=world.clock.now(), input="enough"))
    await world.episode()
    assert world.hub.storage.control == []
    assert await world.hub.get_instance("@counter@one") is None


async def test_a_terminated_entity_keeps_its_state_and_accepts_nothing_until_it_is_purged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.executor.script("Counter", ran("1", state="1"))
    await world.signal("add")
    await world.episode()
    await world.client.terminate("@counter@one", "enough")
    await world.episode()
    assert await status_of(world) == (RuntimeStatus.TERMINATED, "enough")
    await world.signal("late")
    await world.episode()
    assert world.batches == [["add"]]
    assert "'@counter@one' has been terminated: its requests are dropped until it is purged" in caplog.text
    assert await world.client.entities.state(ONE) == "1"
    assert await world.client.purge("@counter@one")
    await world.signal("again")
    await world.episode()
    assert world.batches == [["add"], ["again"]]
    assert await status_of(world) == (RuntimeStatus.RUNNING, None)


async def test_a_suspended_entity_runs_nothing_until_it_is_resumed(world: World) -> None:
    world.executor.script("Counter", ran("1"))
    await world.signal("add")
    await world.episode()
    await world.client.suspend("@counter@one", "lunch")
    await world.episode()
    assert await status_of(world) == (RuntimeStatus.SUSPENDED, "lunch")
    await world.signal("early")
    await world.episode()
    assert world.batches == [["add"]]
    await world.client.resume("@counter@one", "back")
    await world.episode()
    assert world.batches == [["add"], ["early"]]
    assert (await status_of(world))[0] is RuntimeStatus.RUNNING


async def test_a_suspended_entity_without_messages_is_resumed(world: World) -> None:
    world.executor.script("Counter", ran("1"))
    await world.signal("add")
    await world.episode()
    await world.client.suspend("@counter@one", "lunch")
    await world.episode()
    await world.client.resume("@counter@one", "back")
    await world.episode()
    assert await status_of(world) == (RuntimeStatus.RUNNING, "back")
    assert world.batches == [["add"]]


async def test_a_record_that_lags_behind_the_end_of_an_entity_is_repaired_when_a_message_is_redelivered(
    world: World,
) -> None:
    world.executor.script("Counter", ran("1"))
    await world.signal("add")
    await world.episode()
    await world.client.terminate("@counter@one", "enough")
    await world.episode()
    record = world.hub.storage.records["@counter@one"]
    world.hub.storage.records["@counter@one"] = replace(record, runtime_status=RuntimeStatus.RUNNING, output=None)
    await world.send(ExecutionTerminated(timestamp=world.clock.now(), input="enough"))
    await world.episode()
    assert await status_of(world) == (RuntimeStatus.TERMINATED, "enough")


async def test_an_event_of_a_client_is_a_request_only_if_its_name_says_so(world: World) -> None:
    world.executor.script("Counter", ran("null"))
    await world.ask(is_signal=True)
    await world.episode()
    await world.client.raise_event("@counter@one", "nothing", "1")
    await world.client.raise_event("@counter@one", "op", request_to_text(EntityRequest(id="x", operation="sub")))
    await world.episode()
    assert world.batches == [["add"], ["sub"]]


async def test_a_scheduled_signal_waits_for_its_time(world: World) -> None:
    world.executor.script("Counter", ran("null"))
    due_at = world.clock.now() + timedelta(days=9)
    # Real hosts send a signal that is due after the longest delay of a message in several parts.
    await world.ask(scheduled_name(world.clock.now() + timedelta(days=3)), is_signal=True, due_at=due_at)
    for days in (3, 6):
        world.clock.advance(days * 24 * 3600 - 1)
        assert not [each for each in world.hub.storage.control if each.visible_at <= world.clock.now()]
        world.clock.advance(1)
        await world.episode()
    assert world.batches == [["add"]]


async def test_a_reminder_does_not_create_an_entity_that_was_purged(world: World) -> None:
    now = world.clock.now()
    await world.send(EventRaised(timestamp=now, name=reminder_name(now), input="null"))
    await world.episode()
    assert await world.hub.get_instance("@counter@one") is None
    assert world.hub.storage.control == []


class TestACrashAfterResultsWereSent:
    """The history with the new state was not stored, so the episode is repeated."""

    @pytest.fixture(autouse=True)
    def count(self, world: World) -> None:
        world.executor.scripts["Counter"] = counted

    async def crash(self, world: World) -> None:
        """Loses the next episode after its last message was sent; its messages become visible in reverse order."""
        storage, earlier = world.hub.storage, ""

        def fail_after_sending(operation: str) -> None:
            nonlocal earlier
            if (earlier, operation) == ("send", "history"):
                raise StorageUnavailable("the line is cut")
            earlier = operation

        storage.before_write = fail_after_sending
        with pytest.raises(StorageUnavailable):
            await self.episode(world)
        storage.before_write = lambda operation: None
        storage.control.reverse()
        world.clock.advance(600)
        world.hub = MemoryTaskHub(world.clock, storage)
        world.entities = Entities(world.hub, world.executor, FUNCTIONS, world.clock)
        await world.hub.start()
        self.hide_results(world)

    def hide_results(self, world: World) -> None:
        """Leaves the results in the queue: no caller is there to take them."""
        for each in world.hub.storage.control:
            if each.message.is_from_entity:
                each.visible_at = world.clock.now() + timedelta(days=1)

    async def episode(self, world: World) -> None:
        self.hide_results(world)
        await world.episode()

    @pytest.mark.parametrize("is_new", [True, False])
    async def test_repeats_the_operations_in_their_order_with_their_results(self, world: World, is_new: bool) -> None:
        if not is_new:
            await world.ask(id="zero")
            await self.episode(world)
        for name in ("one", "two"):
            await world.ask(id=name, parent=name)
        await self.crash(world)
        await world.ask(id="three", parent="three")
        await self.episode(world)
        expected = {"zero": {"1"}, "one": {"2"}, "two": {"3"}, "three": {"4"}}
        if is_new:
            expected = {"one": {"1"}, "two": {"2"}, "three": {"3"}}
        assert world.results == expected
        assert await world.client.entities.state(ONE) == str(len(expected))

    async def test_runs_no_signal_twice_that_is_stored_already(self, world: World) -> None:
        await world.signal("add")
        await world.ask()
        await self.crash(world)
        await self.episode(world)
        assert await world.client.entities.state(ONE) == "2"
        assert world.results == {"id": {"2"}}

    async def test_puts_off_again_what_was_not_due_then(self, world: World) -> None:
        due_at = world.clock.now() + timedelta(seconds=300)
        await world.ask(id="soon", is_signal=True, due_at=due_at)
        await world.ask()
        await self.crash(world)
        assert world.clock.now() > due_at
        await self.episode(world)
        assert world.results == {"id": {"1"}}

    async def test_a_second_crash_changes_nothing(self, world: World) -> None:
        for name in ("one", "two", "three"):
            await world.ask(id=name, parent=name)
            await self.crash(world)
        await self.episode(world)
        assert world.results == {"one": {"1"}, "two": {"2"}, "three": {"3"}}

    async def test_a_lock_that_was_released_meanwhile_stays_released(self, world: World) -> None:
        await world.ask(operation=None, lock_set=(ONE,))
        await self.crash(world)
        await world.send(EventRaised(timestamp=world.clock.now(), name="release", input='{"parent":"order"}'))
        world.hub.storage.control.reverse()
        await self.episode(world)
        await world.ask(parent="other")
        await self.episode(world)
        assert world.results["id"] == {"Lock Acquisition Completed", "1"}

    async def test_locks_no_other_entity_again_after_its_release(self, world: World) -> None:
        await world.ask(operation=None, lock_set=(ONE, TWO))
        await self.crash(world)
        await self.episode(world)
        self.hide_results(world)
        control = world.hub.storage.control
        first, again = (each for each in control if each.message.target.instance_id == TWO.instance_id)
        first.visible_at = world.clock.now()
        await world.episode()
        now = world.clock.now()
        await world.send(EventRaised(timestamp=now, name="release", input='{"parent":"order"}'), to=TWO.instance_id)
        await self.episode(world)
        again.visible_at = now
        await world.episode()
        await world.send(EventRaised(timestamp=now, name="op", input=request_to_text(OTHER)), to=TWO.instance_id)
        await self.episode(world)
        assert world.results == {"id": {"Lock Acquisition Completed"}, "other": {"1"}}

    async def test_gives_the_callers_an_error_if_the_repetition_fails_for_good(self, world: World) -> None:
        await world.ask()
        await self.crash(world)
        await world.entities.give_up(await world.hub.fetch_orchestration(), "it is too large")
        assert "\"Entity '@counter@one' failed: it is too large\"" in world.results["id"]
        await world.ask(id="next", parent="other")
        await self.episode(world)
        assert world.results["next"] == {"1"}

    async def test_a_suspended_entity_is_processed_when_it_is_resumed(self, world: World) -> None:
        await world.ask(id="zero")
        await self.episode(world)
        await world.ask(parent="one")
        await self.crash(world)
        await world.client.suspend("@counter@one", "lunch")
        await self.episode(world)
        await world.client.resume("@counter@one", "back")
        await self.episode(world)
        assert world.results == {"zero": {"1"}, "id": {"2"}}
        assert await world.client.entities.state(ONE) == "2"


class TestClient:
    async def test_refuses_unknown_entities_and_bad_keys(self, world: World) -> None:
        with pytest.raises(RequestError, match=r"'nobody' doesn't exist.*'Counter'"):
            await world.client.entities.signal(EntityId.of("Nobody", "one"), "add", None)
        with pytest.raises(RequestError, match="Entity keys must not contain"):
            await world.client.entities.signal(EntityId.of("Counter", "a#b"), "add", None)
        with pytest.raises(RequestError, match="must be text that UTF-8 can carry"):
            await world.client.entities.signal(EntityId.of("Counter", "\ud800"), "add", None)

    async def test_lists_existing_entities(self, world: World) -> None:
        world.executor.script("Counter", ran("null"), ran("null", state="7"), ran("null", entityExists=False))
        for key in "abc":
            await world.client.entities.signal(EntityId("counter", key), "add", None)
            await world.episode()
        page = await world.client.entities.list(EntityQuery(), page_size=10, with_state=True)
        assert [(each.entity.key, each.state) for each in page.records] == [("a", "1"), ("b", "7")]
        assert (await world.client.entities.list(EntityQuery(name="Other"), page_size=10)).records == ()
        (first,) = (await world.client.entities.list(EntityQuery(name="COUNTER"), page_size=1)).records
        assert (first.entity.key, first.state) == ("a", None)

    async def test_purges_entities_and_restarts_none(self, world: World) -> None:
        world.executor.script("Counter", ran("null"))
        await world.client.entities.signal(ONE, "add", None)
        await world.episode()
        client = world.client
        with pytest.raises(RequestError, match="does not match a valid orchestration instance"):
            await client.restart("@counter@one", with_new_id=True)
        assert await client.purge("@counter@one")
        assert await client.entities.state(ONE) is None
