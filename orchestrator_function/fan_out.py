"""Runs tasks in parallel, waits for all of them, keeps every outcome and shows how far they are.

The rule of this file: the first yield schedules everything and the others only wait. A `task_all` alone would be
silent until the end and forget all other results at the first failure. A `task_any` over all that is open, again and
again, costs the square of their number in every replay; over the few oldest it does not, and tasks finish roughly in
order. No compound contains another: a failed `task_all` whose last task then succeeds reports twice to what contains
it, and that ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

import azure.durable_functions as df

# How many of the oldest open tasks are listened to. No task id depends on it, so it may change under running instances.
WINDOW: Final = 20

Progress = Callable[[list[bool]], None]


def settle(
    context: df.DurableOrchestrationContext, tasks: Sequence[Any], report: Progress
) -> Generator[Any, Any, list[Any]]:
    """The result, or the exception, of each task in the order of `tasks`; `report` hears which tasks are finished."""
    waiting = listened_to = list(tasks)
    while waiting:
        yield context.task_any(listened_to)
        report([task.is_completed for task in tasks])
        waiting = [task for task in waiting if not task.is_completed]
        listened_to = waiting[:WINDOW]
    return (yield from _outcomes(context, tasks))


def _outcomes(context: df.DurableOrchestrationContext, tasks: Sequence[Any]) -> Generator[Any, Any, list[Any]]:
    try:
        outcomes: list[Any] = yield context.task_all(list(tasks))
    except Exception:
        # The first failure is all that task_all tells; the tasks themselves hold each its own outcome.
        outcomes = []
        for task in tasks:
            outcomes += [(yield from _outcome(task))]
    return outcomes


def _outcome(task: Any) -> Generator[Any, Any, Any]:
    try:
        return (yield task)
    except Exception as failure:
        return failure
