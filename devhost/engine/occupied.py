"""Whether a sub-orchestration may begin under an id that a running instance has.

A start takes the place of what is stored under its id. If that is still wanted, the start is refused: an instance of a
client would be lost without a word, and another parent would wait for ever for a child that is no more. What nobody
waits for any more, such as the child of a parent that was terminated, is replaced, as upstream.
"""

from __future__ import annotations

from devhost.core.history import ExecutionStarted, ParentInstance
from devhost.core.messages import TaskMessage
from devhost.core.schedule import already_exists, refused_child
from devhost.core.state import fold
from devhost.engine.ports import OrchestrationWorkItem, TaskHub


async def refusal_of_start(item: OrchestrationWorkItem, hub: TaskHub) -> TaskMessage | None:
    """The failure that a parent gets for the start in this item; None if the item can be processed."""
    events = (received.message.event for received in item.messages)
    start = next((event for event in events if isinstance(event, ExecutionStarted)), None)
    if item.replaces is None or start is None or start.parent_instance is None:
        return None
    present = fold(await hub.read_history(item.instance_id))
    if present.started is None or present.status.is_terminal:
        return None
    if _is_called_by(start.parent_instance, present.started) or not await _is_wanted(present.started, hub):
        return None
    me, parent = start.orchestration_instance, start.parent_instance
    failure = refused_child(
        start.name, parent.task_schedule_id, already_exists(me.instance_id, present.status), at=start.timestamp
    )
    return TaskMessage(event=failure, target=parent.orchestration_instance, sender=me)


def _is_called_by(caller: ParentInstance, running: ExecutionStarted) -> bool:
    """True if the same instance has called both: it has had the answer of the first one, or does not want it any more.

    The history need not say so yet, if a crash came between. Of two calls that it awaits together only one is sent.
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
    return is_same and not waiting.status.is_terminal and parent.task_schedule_id not in waiting.answered_ids
