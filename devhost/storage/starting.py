"""The start of an instance: its message, then the Pending row that confirms it.

Mirrors CreateTaskOrchestrationAsync of DurableTask.AzureStorage, but for a row that changes between the two: there, the
start is accepted and never confirmed. Here it is looked at again.
"""

from __future__ import annotations

from dataclasses import replace

from devhost.core.history import ExecutionStarted
from devhost.core.messages import TaskMessage
from devhost.core.status import RuntimeStatus
from devhost.errors import InstanceExists, StorageUnavailable
from devhost.storage.inbox import ControlInbox
from devhost.storage.instance_rows import StoredInstance
from devhost.storage.instance_table import InstanceTable
from devhost.storage.outbox import Outbox

MAX_ATTEMPTS = 20
MAX_GENERATION = 2**31 - 1


class Starter:
    """The starts of one hub that come from clients."""

    def __init__(self, instances: InstanceTable, outbox: Outbox, control: ControlInbox) -> None:
        self._instances = instances
        self._outbox = outbox
        self._control = control

    async def start(self, message: TaskMessage, overridable: frozenset[RuntimeStatus]) -> None:
        start = message.event
        if not isinstance(start, ExecutionStarted):
            raise TypeError(f"{start.type_name} does not start an instance")
        instance_id = message.target.instance_id
        found = await self._replaceable(instance_id, overridable)
        if start.generation is None:
            # At the largest that a row holds it stays.
            generation = min(found.record.generation + 1, MAX_GENERATION) if found else 0
            start = replace(start, generation=generation)
        execution_id = message.target.execution_id or ""
        self._control.expect_confirmation(execution_id)
        try:
            blob = await self._outbox.send(replace(message, event=start))
            for _ in range(MAX_ATTEMPTS):
                etag = found.etag if found else None
                if await self._instances.write_pending(start, message_blob=blob, etag=etag):
                    return
                found = await self._replaceable(instance_id, overridable)
            raise StorageUnavailable(f"instance '{instance_id}' changes faster than a start can replace it")
        finally:
            # A start that is refused after all has no row that confirms it, so it is dropped when it arrives.
            self._control.confirm(execution_id)

    async def _replaceable(self, instance_id: str, overridable: frozenset[RuntimeStatus]) -> StoredInstance | None:
        """The instance as it is; raises `InstanceExists` where no start may take its place."""
        found = await self._instances.find(instance_id)
        if found and found.record.runtime_status not in overridable:
            raise InstanceExists(instance_id, found.record.runtime_status.value)
        return found
