"""Decides whether a sub-orchestration may start under the id of a running instance.

A start replaces the instance that is stored under its id. It is refused if that instance is still needed: an instance
of a client would be lost silently, and another parent would wait for ever for its child. An instance that nobody
awaits, such as the child of a terminated parent, is replaced, as upstream.
"""

from __future__ import annotations

from durablehost.core.history import ExecutionStarted, ParentInstance
from durablehost.core.lineage import descends
from durablehost.core.messages import TaskMessage
from durablehost.core.schedule import already_exists, refused_child
from durablehost.core.state import fold
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub


async def refusal_of_start(item: OrchestrationWorkItem, hub: TaskHub) -> TaskMessage | None:
    """The failure that a parent gets for the start in this item; None if the item can be processed."""
    start = _child_start(item)
    if start is None or start.parent_instance is None:
        return None
    present = fold(await hub.read_history(item.instance_id))
    if present.started is None or present.status.is_finished:
        return None
    if _is_called_by(start.parent_instance, present.started) or not await _is_wanted(present.started, hub):
        return None
    me, parent = start.orchestration_instance, start.parent_instance
    failure = refused_child(
        start.name, parent.task_schedule_id, already_exists(me.instance_id, present.status), at=start.timestamp
    )
    return TaskMessage(event=failure, target=parent.orchestration_instance, sender=me)


async def is_late_start(item: OrchestrationWorkItem, hub: TaskHub) -> bool:
    """True if an earlier execution of the parent has sent the start: the current one waits for the running instance.

    The ids of two executions do not show which is older if a client has started the parent again.
    """
    start = _child_start(item)
    if start is None or start.parent_instance is None:
        return False
    present = fold(await hub.read_history(item.instance_id))
    if present.started is None or present.status.is_finished or present.started.parent_instance is None:
        return False
    mine, current = start.parent_instance.orchestration_instance, present.started.parent_instance.orchestration_instance
    is_later = mine.execution_id == current.execution_id or descends(mine.execution_id, current.execution_id)
    return mine.instance_id == current.instance_id and not is_later and await _is_wanted(present.started, hub)


def _child_start(item: OrchestrationWorkItem) -> ExecutionStarted | None:
    """The start of a sub-orchestration in the item, if it is about to replace another execution."""
    events = (received.message.event for received in item.messages)
    start = next((event for event in events if isinstance(event, ExecutionStarted)), None)
    return start if start is not None and item.replaces is not None and start.parent_instance is not None else None


def _is_called_by(caller: ParentInstance, running: ExecutionStarted) -> bool:
    """True if the same instance has called both: it has the result of the first one, or no longer wants it.

    After a crash its history may not show that yet. If it awaits both calls together, only one start is sent.
    """
    parent = running.parent_instance
    return parent is not None and parent.orchestration_instance.instance_id == caller.orchestration_instance.instance_id


async def _is_wanted(running: ExecutionStarted, hub: TaskHub) -> bool:
    """True for an instance of a client, or one that its parent waits for."""
    parent = running.parent_instance
    if parent is None:
        return True
    waiting = fold(await hub.read_history(parent.orchestration_instance.instance_id))
    is_same = waiting.execution_id == parent.orchestration_instance.execution_id
    return is_same and not waiting.status.is_finished and parent.task_schedule_id not in waiting.completed_ids
