"""Runs tasks in parallel, waits for all of them, keeps every outcome and reports each as it comes.

The rule of this file: the first yield schedules everything, or as much as may run at once; the others wait, and
schedule what there is room for. A `task_all` would show no progress until the end, and lose all other results at the
first failure. A `task_any` over all open tasks, again and again, costs the square of their number in every replay;
over the few oldest it does not, and tasks finish roughly in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from shared_code.durable import Context, Steps

# How many of the oldest open tasks are awaited. No task id depends on it, so it may change under running instances.
WINDOW: Final = 20

# Called with the position of a start, and the result or the exception of its task.
Report = Callable[[int, Any], None]


def settle(
    context: Context,
    starts: Sequence[Callable[[], Any]],
    report: Report,
    most_at_once: int | None = None,
) -> Steps:
    """The result, or the exception, of the task of each start in order.

    A task that waits for its next attempt counts as one of the `most_at_once`.
    """
    outcomes: list[Any] = [None] * len(starts)
    started = 0
    waiting: list[tuple[int, Any]] = []
    while waiting or started < len(starts):
        room = len(starts) if most_at_once is None else most_at_once - len(waiting)
        new = [(position, starts[position]()) for position in range(started, min(started + room, len(starts)))]
        started += len(new)
        # The new ones are always among them, because it is the yield that schedules them.
        yield context.task_any([task for _, task in [*waiting[:WINDOW], *new]])
        waiting += new
        for position, task in waiting:
            if task.is_completed:
                outcomes[position] = task.result
                report(position, task.result)
        waiting = [(position, task) for position, task in waiting if not task.is_completed]
    return outcomes
