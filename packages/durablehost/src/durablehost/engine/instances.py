"""The work source of instances: each item goes to the orchestrations or to the entities, by the id of its instance.

There is one source for both, because their messages share the control queues.
"""

from __future__ import annotations

from durablehost.core.ids import is_entity_id
from durablehost.engine.entities import Entities
from durablehost.engine.last_resort import one_sentence
from durablehost.engine.orchestrations import Orchestrations
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub


class Instances:
    """The work source of the dispatcher for orchestrations and entities."""

    name = "orchestrations"

    def __init__(self, hub: TaskHub, orchestrations: Orchestrations, entities: Entities) -> None:
        self._hub = hub
        self._orchestrations = orchestrations
        self._entities = entities

    async def fetch(self) -> OrchestrationWorkItem:
        return await self._hub.fetch_orchestration()

    async def abandon(self, item: OrchestrationWorkItem) -> None:
        await self._hub.abandon_orchestration(item)

    async def renew(self, item: OrchestrationWorkItem) -> None:
        await self._hub.renew_orchestration(item)

    def describe(self, item: OrchestrationWorkItem) -> str:
        return f"{'entity' if is_entity_id(item.instance_id) else 'instance'} '{item.instance_id}'"

    async def process(self, item: OrchestrationWorkItem) -> None:
        """Stores the checkpoint that the item's messages lead to. Raises what the two seams raise."""
        processor = self._entities if is_entity_id(item.instance_id) else self._orchestrations
        await processor.process(item)

    async def give_up(self, item: OrchestrationWorkItem, error: Exception) -> None:
        """Stores the failure of an instance, or of the calls of an entity, that cannot be processed."""
        processor = self._entities if is_entity_id(item.instance_id) else self._orchestrations
        await processor.give_up(item, one_sentence(error))

    def message_ids(self, item: OrchestrationWorkItem) -> list[str]:
        return [received.message_id for received in item.messages]
