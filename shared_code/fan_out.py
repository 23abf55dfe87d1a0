"""Runs tasks in parallel, waits for all of them, keeps every outcome and shows how far they are.

The rule of this file: the first yield schedules everything, or as much as may run at once; the others wait, and
schedule what there is room for. A `task_all` alone would show no progress until the end, and lose all other results at
the first failure. A `task_any` over all open tasks, again and again, costs the square of their number in every replay;
over the few oldest it does not, and tasks finish roughly in order. No compound contains another: a failed `task_all`
whose last task then succeeds reports twice to its parent, and that ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from shared_code.durable import Context, Steps

# How many of the oldest open tasks are awaited. No task id depends on it, so it may change under running instances.
WINDOW: Final = 20

Progress = Callable[[list[bool]], None]


def settle(
    context: Context,
    starts: Sequence[Callable[[], Any]],
    report: Progress,
    most_at_once: int | None = None,
) -> Steps:
    """The result, or the exception, of the task of each start in order; `report` gets which tasks are finished.

    A task that waits for its next attempt counts as one of the `most_at_once`.
    """
    tasks: list[Any] = []
    waiting: list[Any] = []
    while waiting or len(tasks) < len(starts):
        room = len(starts) if most_at_once is None else most_at_once - len(waiting)
        new = [start() for start in starts[len(tasks) : len(tasks) + room]]
        tasks += new
        # The new ones are always among them, because it is the yield that schedules them.
        yield context.task_any([*waiting[:WINDOW], *new])
        report([task.is_completed for task in tasks] + [False] * (len(starts) - len(tasks)))
        waiting = [task for task in [*waiting, *new] if not task.is_completed]
    return (yield from _outcomes(context, tasks))


def _outcomes(context: Context, tasks: Sequence[Any]) -> Steps:
    try:
        outcomes: list[Any] = yield context.task_all(list(tasks))
    except Exception:
        # task_all raises the first failure only; each task has its own outcome.
        outcomes = []
        for task in tasks:
            outcomes += [(yield from _outcome(task))]
    return outcomes


def _outcome(task: Any) -> Steps:
    try:
        return (yield task)
    except Exception as failure:
        return failure
