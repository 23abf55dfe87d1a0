"""Rewinds failed instances by changing their rows, from the deepest child up; no episode is run for it.

The order makes it safe to repeat after a crash. The histories come first, children before parents, so that the rest of
a tree can still be found from its root. Then each instance is woken, the root last: until then its row says Failed,
unless another message has opened an episode of it. A rewound instance whose row still says Failed may lack its message.
Mirrors AzureStorageOrchestrationService.RewindTaskOrchestrationAsync, which wakes the deepest instances only: there,
the other rewound tasks of a parent wait for its rewound child.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from durablehost.clock import Clock
from durablehost.core.history import GenericEvent, HistoryEvent, OrchestrationInstance
from durablehost.core.messages import TaskMessage
from durablehost.core.rewind import RewindPlan, awaited_children, plan_rewind
from durablehost.core.state import OrchestrationState, fold
from durablehost.core.status import RuntimeStatus
from durablehost.errors import RequestError
from durablehost.storage.messages.outbox import Outbox
from durablehost.storage.rows.history_cache import HistoryCache
from durablehost.storage.rows.history_table import HistoryTable
from durablehost.storage.rows.instance_table import InstanceTable


@dataclass(frozen=True, kw_only=True)
class _Awaited:
    """The child that a parent waits for: started by the parent's execution under this task id."""

    parent_execution_id: str | None
    task_id: int

    def is_met_by(self, state: OrchestrationState) -> bool:
        parent = state.started.parent_instance if state.started else None
        return (
            parent is not None
            and parent.task_schedule_id == self.task_id
            and parent.orchestration_instance.execution_id == self.parent_execution_id
            and (state.status is RuntimeStatus.FAILED or not state.status.is_finished)
        )


class Rewinder:
    """Rewinds the instances of one hub."""

    def __init__(
        self,
        histories: HistoryTable,
        instances: InstanceTable,
        outbox: Outbox,
        clock: Clock,
        cache: HistoryCache,
    ) -> None:
        self._histories = histories
        self._instances = instances
        self._outbox = outbox
        self._clock = clock
        self._cache = cache

    async def rewind(self, instance_id: str, reason: str) -> None:
        for each in await self._rewind_history(instance_id, None) or ():
            await self._wake(each, reason)

    async def finish(self, instance_id: str, reason: str) -> bool:
        """Wakes the instances below this one that an interrupted rewind has left asleep; returns whether any were."""
        asleep = await self._asleep_below((await self._histories.load(instance_id)).events)
        for each in asleep:
            await self._wake(each, reason)
        return bool(asleep)

    async def _asleep_below(self, events: Sequence[HistoryEvent]) -> list[str]:
        """The children that a history awaits, and theirs, whose histories go on although their rows say Failed."""
        found: list[str] = []
        execution_id = fold(events).execution_id
        for child in awaited_children(events):
            below = (await self._histories.load(child.instance_id)).events
            state = fold(below)
            awaited = _Awaited(parent_execution_id=execution_id, task_id=child.task_id)
            if not awaited.is_met_by(state) or state.status is RuntimeStatus.FAILED:
                continue
            found += await self._asleep_below(below)
            row = await self._instances.find(child.instance_id)
            if row is not None and row.record.runtime_status is RuntimeStatus.FAILED:
                found.append(child.instance_id)
        return found

    async def _rewind_history(self, instance_id: str, awaited: _Awaited | None) -> list[str] | None:
        """Rewinds the histories of an instance and its children; returns the instances to wake, children first.

        Returns None for a child that its parent does not wait for any more. If an interrupted attempt has rewound the
        instance already, only rewinds its children, and starts those anew that were purged since.
        """
        self._cache.drop(instance_id)
        history = await self._histories.load(instance_id)
        state = fold(history.events)
        if awaited is not None and not awaited.is_met_by(state):
            return None
        is_failed = state.status is RuntimeStatus.FAILED
        plan = plan_rewind(history.events) if is_failed else RewindPlan(children=awaited_children(history.events))
        if plan.problem is not None:
            if awaited is not None:
                return None
            raise RequestError(412, f"The instance '{instance_id}' cannot be rewound: {plan.problem}")
        woken: list[str] = []
        for child in plan.children:
            below = await self._rewind_history(
                child.instance_id, _Awaited(parent_execution_id=state.execution_id, task_id=child.task_id)
            )
            woken += below or ()
            if below is None and (is_failed or await self._is_missing(child.instance_id)):
                plan = plan.starting_anew(child, history.events[child.index])
        if plan.replaced:
            await self._histories.rewind(instance_id, history, plan)
        return [*woken, instance_id]

    async def _is_missing(self, instance_id: str) -> bool:
        return not (await self._histories.load(instance_id)).events

    async def _wake(self, instance_id: str, reason: str) -> None:
        etag = await self._instances.clear_end(instance_id)
        event = GenericEvent(timestamp=self._clock.now(), data=reason)
        target = OrchestrationInstance(instance_id=instance_id, execution_id=None)
        await self._outbox.send(TaskMessage(event=event, target=target))
        if etag is not None:
            await self._instances.mark_pending(instance_id, etag)
