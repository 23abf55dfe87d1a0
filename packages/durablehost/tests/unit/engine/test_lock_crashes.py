"""Critical sections over several entities whose host is killed before any write, again and again.

A lock is granted by one write of a history. The kill may come before it, when the grant has been sent already, or after
it, when the request is still in the queue.
"""

from __future__ import annotations

import json
import random

import pytest

from durablehost.core.entity_messages import LOCK_GRANTED, RELEASE_EVENT, EntityRequest, request_to_text
from durablehost.core.history import EventRaised, ExecutionStarted, OrchestrationInstance
from durablehost.core.ids import EntityId
from durablehost.core.messages import TaskMessage
from durablehost.engine.entities import Entities
from durablehost.errors import StorageUnavailable
from packages.durablehost.tests.hubs.memory import ManualClock, MemoryStorage, MemoryTaskHub, Stored
from packages.durablehost.tests.unit.engine.scripted import ScriptedExecutor, function

FUNCTIONS = {"counter": function("Counter", "entityTrigger")}
ENTITIES = tuple(EntityId("counter", key) for key in "abc")
CALLERS = ("one", "two", "three")
SECTIONS = 3
KILLS = 30
# From none to all of the writes of one or two episodes.
MOST_WRITES = 12
LEAVING_CHANCE = 0.3
# Longer than a message of a killed host stays invisible.
PAUSE_SECONDS = 301


class World:
    """Orchestrations that enter critical sections one after another, and hosts that process the entities."""

    def __init__(self, seed: int) -> None:
        self._choices = random.Random(seed)
        self._clock = ManualClock()
        self._storage = MemoryStorage()
        self._kills_left = KILLS
        self._wanted: dict[str, EntityRequest] = {}
        # The critical sections that have been entered and not been left.
        self._inside: dict[str, EntityRequest] = {}
        self.entered = dict.fromkeys(CALLERS, 0)

    async def run(self) -> None:
        for caller in CALLERS:
            self._ask(caller)
        while self._storage.control or self._inside:
            await self._live()
            self._clock.advance(PAUSE_SECONDS)
            for caller in tuple(self._inside):
                self._leave(caller)

    async def _live(self) -> None:
        """One host, from its start to its kill; the last ones are killed only when nothing is left to do."""
        hub = MemoryTaskHub(self._clock, self._storage)
        await hub.start()
        entities = Entities(hub, ScriptedExecutor(), FUNCTIONS, self._clock)
        self._kills_left -= 1
        writes_left = self._choices.randint(0, MOST_WRITES) if self._kills_left > 0 else None

        def kill(operation: str) -> None:
            nonlocal writes_left
            if writes_left is None:
                return
            if writes_left == 0:
                raise StorageUnavailable("the host is killed")
            writes_left -= 1

        while visible := [each for each in self._storage.control if each.visible_at <= self._clock.now()]:
            self._choices.shuffle(self._storage.control)
            if self._inside and self._choices.random() < LEAVING_CHANCE:
                self._leave(self._choices.choice(list(self._inside)))
            if answers := [each for each in visible if each.message.target.instance_id in CALLERS]:
                self._take(answers[0])
                continue
            self._storage.before_write = kill
            try:
                await entities.process(await hub.fetch_orchestration())
            except StorageUnavailable:
                return
            finally:
                self._storage.before_write = lambda operation: None

    def _ask(self, caller: str) -> None:
        lock_set = tuple(sorted(self._choices.sample(ENTITIES, 2), key=ENTITIES.index))
        lock = EntityRequest(
            id=f"{caller}-{self.entered[caller]}",
            operation=None,
            parent=caller,
            parent_execution=caller,
            lock_set=lock_set,
        )
        self._wanted[caller] = lock
        self._send(lock_set[0], "op", request_to_text(lock))

    def _take(self, answer: Stored) -> None:
        """The caller gets its locks, unless this answer comes again."""
        self._storage.delete(answer)
        event, caller = answer.message.event, answer.message.target.instance_id
        assert isinstance(event, EventRaised)
        assert json.loads(event.input or "")["result"] == LOCK_GRANTED
        lock = self._wanted.get(caller)
        if lock is None or lock.id != event.name:
            return
        assert not any(set(lock.lock_set) & set(other.lock_set) for other in self._inside.values())
        self._inside[caller] = self._wanted.pop(caller)
        self.entered[caller] += 1

    def _leave(self, caller: str) -> None:
        lock = self._inside.pop(caller)
        for entity in lock.lock_set:
            self._send(entity, RELEASE_EVENT, json.dumps({"parent": caller, "id": lock.id}))
        if self.entered[caller] < SECTIONS:
            self._ask(caller)

    def _send(self, entity: EntityId, name: str, text: str) -> None:
        target = OrchestrationInstance(instance_id=entity.instance_id, execution_id=None)
        event = EventRaised(timestamp=self._clock.now(), name=name, input=text)
        self._storage.put(TaskMessage(event=event, target=target), self._clock.now())

    def holder_of(self, entity: EntityId) -> str | None:
        events = self._storage.histories[entity.instance_id].events
        (start,) = (event for event in events if isinstance(event, ExecutionStarted))
        holder = json.loads(start.input or "{}").get("lockedBy")
        assert isinstance(holder, (str, type(None)))
        return holder


@pytest.mark.parametrize("seed", range(50))
async def test_every_critical_section_is_entered_and_left_whenever_hosts_are_killed(seed: int) -> None:
    world = World(seed)
    await world.run()
    assert world.entered == dict.fromkeys(CALLERS, SECTIONS)
    assert [world.holder_of(entity) for entity in ENTITIES] == [None] * len(ENTITIES)
