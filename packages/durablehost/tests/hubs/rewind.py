"""Rewinds histories that are kept as values, for hubs without storage: all changes of a task hub at once."""

from __future__ import annotations

from collections.abc import Callable

from durablehost.core.history import ExecutionStarted, HistoryEvent
from durablehost.core.rewind import RewindPlan, awaited_children, plan_rewind
from durablehost.core.state import fold
from durablehost.core.status import RuntimeStatus
from durablehost.errors import RequestError

History = tuple[HistoryEvent, ...]


def rewind_histories(
    instance_id: str, load: Callable[[str], History], store: Callable[[str, History], None]
) -> list[str]:
    """Rewinds an instance and the children it waits for; returns those to wake, an instance after its children.

    Raises:
        RequestError: 412, if the history does not allow it.
    """
    history = load(instance_id)
    is_failed = fold(history).status is RuntimeStatus.FAILED
    plan = plan_rewind(history) if is_failed else RewindPlan(children=awaited_children(history))
    if plan.problem:
        raise RequestError(412, plan.problem)
    woken: list[str] = []
    for child in plan.children:
        if _goes_on(load(child.instance_id), fold(history).execution_id, child.task_id):
            woken += rewind_histories(child.instance_id, load, store)
        elif is_failed:
            plan = plan.starting_anew(child, history[child.index])
    if is_failed:
        store(instance_id, tuple(plan.replaced.get(index, event) for index, event in enumerate(history)))
    return [*woken, instance_id]


def _goes_on(history: History, parent_execution_id: str | None, task_id: int) -> bool:
    state = fold(history)
    parent = state.started.parent_instance if isinstance(state.started, ExecutionStarted) else None
    if parent is None or parent.task_schedule_id != task_id:
        return False
    if parent.orchestration_instance.execution_id != parent_execution_id:
        return False
    if state.status is RuntimeStatus.FAILED:
        return plan_rewind(history).problem is None
    return not state.status.is_finished
