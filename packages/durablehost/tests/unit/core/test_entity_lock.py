"""Critical sections over several entities, with every message delivered once or more, in any order."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from durablehost.core.entities import EntityEpisode
from durablehost.core.entity_messages import LOCK_GRANTED, RELEASE_EVENT, EntityRequest, request_to_text
from durablehost.core.history import EventRaised, ExecutionStarted, HistoryEvent, OrchestrationInstance
from durablehost.core.ids import EntityId
from packages.durablehost.tests.unit.core.examples import AT

ENTITIES = tuple(EntityId("counter", key) for key in "abc")
PARENTS = ("one", "two", "three")
SECTIONS = 3


class World:
    """Orchestrations that enter critical sections one after another. Who holds a lock is as they see it."""

    def __init__(self, seed: int) -> None:
        self._choices = random.Random(seed)
        self._stored: dict[str, str | None] = {entity.instance_id: None for entity in ENTITIES}
        self._messages: list[tuple[str, EventRaised]] = []
        self._wanted: dict[str, EntityRequest] = {}
        self.entered = dict.fromkeys(PARENTS, 0)
        for parent in PARENTS:
            self._request(parent)

    def _request(self, parent: str) -> None:
        lock_set = tuple(sorted(self._choices.sample(ENTITIES, 2), key=ENTITIES.index))
        id = f"{parent}-{self.entered[parent]}"
        lock = EntityRequest(id=id, operation=None, parent=parent, parent_execution=parent, lock_set=lock_set)
        self._wanted[parent] = lock
        self._send(lock_set[0].instance_id, "op", request_to_text(lock))

    def _send(self, target: str, name: str, text: str | None) -> None:
        message = target, EventRaised(timestamp=AT, name=name, input=text)
        self._messages += [message] * self._choices.choice((1, 1, 2, 3))

    def run(self) -> Iterator[None]:
        while self._messages:
            target, event = self._messages.pop(self._choices.randrange(len(self._messages)))
            if target in self._stored:
                self._deliver_to_entity(target, event)
            else:
                self._deliver_to_parent(target, event)
            yield

    def _deliver_to_entity(self, target: str, event: EventRaised) -> None:
        me = OrchestrationInstance(instance_id=target, execution_id="x")
        start = ExecutionStarted(timestamp=AT, orchestration_instance=me, name=target, input=self._stored[target])
        history: tuple[HistoryEvent, ...] = (start,)
        episode = EntityEpisode(me, history, now=AT)
        episode.receive(event)
        assert episode.take(100) == ()
        checkpoint = episode.checkpoint()
        for message in checkpoint.outbox:
            assert isinstance(message.event, EventRaised)
            self._send(message.target.instance_id, message.event.name, message.event.input)
        stored = checkpoint.new_events[1]
        assert isinstance(stored, ExecutionStarted)
        self._stored[target] = stored.input

    def _deliver_to_parent(self, parent: str, event: EventRaised) -> None:
        lock = self._wanted.get(parent)
        assert json.loads(event.input or "")["result"] == LOCK_GRANTED
        if lock is None or lock.id != event.name:
            return
        assert all(self.holder_of(entity) == parent for entity in lock.lock_set)
        del self._wanted[parent]
        self.entered[parent] += 1
        release = json.dumps({"parent": parent, "id": lock.id})
        for entity in lock.lock_set:
            self._send(entity.instance_id, RELEASE_EVENT, release)
        if self.entered[parent] < SECTIONS:
            self._request(parent)

    def holder_of(self, entity: EntityId) -> str | None:
        holder = json.loads(self._stored[entity.instance_id] or "{}").get("lockedBy")
        assert isinstance(holder, (str, type(None)))
        return holder


@pytest.mark.parametrize("seed", range(50))
def test_every_critical_section_is_entered_with_its_locks_and_leaves_none(seed: int) -> None:
    world = World(seed)
    for _ in world.run():
        pass
    assert world.entered == dict.fromkeys(PARENTS, SECTIONS)
    assert [world.holder_of(entity) for entity in ENTITIES] == [None] * len(ENTITIES)
