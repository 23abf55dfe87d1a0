"""Starts an instance: sends the message, then writes the Pending row that confirms it.

Mirrors CreateTaskOrchestrationAsync of DurableTask.AzureStorage, with one difference: if the row changes between the
two, the original accepts the start and never confirms it. Here the row is read and written again.
"""

from __future__ import annotations

from dataclasses import replace

from durablehost.core.history import ExecutionStarted
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.errors import InstanceExists, StorageUnavailable
from durablehost.storage.messages.inbox import ControlInbox
from durablehost.storage.messages.outbox import Outbox
from durablehost.storage.rows.instance_rows import StoredInstance
from durablehost.storage.rows.instance_table import InstanceTable

MAX_ATTEMPTS = 20
MAX_GENERATION = 2**31 - 1


class StartWriter:
    """Stores the starts of one hub that clients request."""

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
            # Stays at the largest number that a row can store.
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
            # If the start was refused after its message was sent, no row confirms it, so it is dropped on arrival.
            self._control.confirm(execution_id)

    async def _replaceable(self, instance_id: str, overridable: frozenset[RuntimeStatus]) -> StoredInstance | None:
        """Returns the instance, if there is one; raises `InstanceExists` if no start may replace it."""
        found = await self._instances.find(instance_id)
        if found and found.record.runtime_status not in overridable:
            raise InstanceExists(instance_id, found.record.runtime_status.value)
        return found
