"""Runs tasks in parallel, waits for all of them, keeps every outcome and reports each as it comes.

The rule of this file: the first yield schedules everything, or as much as may run at once; the others wait, and
schedule what there is room for. A `task_all` would show no progress until the end, and lose all other results at the
first failure. A `task_any` over all open tasks, again and again, costs the square of their number in every replay;
over the few oldest it does not, and tasks finish roughly in order.

The id of a task does not depend on which others have ended together. An episode that is repeated after a crash may get
more results at once than at first, while messages of the first attempt, with its ids, are still on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from shared_code.durable import Context, Steps

# How many of the oldest open tasks are awaited. No task id depends on it, so it may change under running instances.
WINDOW: Final = 20

# Called with the position of a start, and the result or the exception of its task.
Report = Callable[[int, Any], None]


@dataclass(frozen=True, kw_only=True)
class _Started:
    """A started task, and the timer of its limit."""

    position: int
    task: Any
    limit: Any

    @property
    def is_over(self) -> bool:
        return bool(self.task.is_completed or (self.limit is not None and self.limit.is_completed))


def settle(
    context: Context,
    starts: Sequence[Callable[[], Any]],
    report: Report,
    most_at_once: int | None = None,
    timeout: float | None = None,
) -> Steps:
    """The result, or the exception, of the task of each start in order.

    A task that waits for its next attempt counts as one of the `most_at_once`. One that is not completed `timeout`
    seconds after its start has a TimeoutError as its outcome. It goes on, and its later result is ignored.
    """
    outcomes: list[Any] = [None] * len(starts)
    started = 0
    waiting: list[_Started] = []
    while waiting or started < len(starts):
        room = len(starts) if most_at_once is None else most_at_once - len(waiting)
        new = _start(context, starts, range(started, min(started + room, len(starts))), timeout)
        started += len(new)
        # The new ones are always among them, because it is the yield that schedules them.
        oldest = [each.task for each in waiting[:WINDOW]]
        yield context.task_any([*oldest, *_limits(waiting[:1]), *_in_order_of_ids(new)])
        waiting += new
        over = [each for each in waiting if each.is_over]
        waiting = [each for each in waiting if not each.is_over]
        for each in over:
            done = each.task.is_completed
            outcomes[each.position] = each.task.result if done else TimeoutError(f"not done within {timeout:g} seconds")
            report(each.position, outcomes[each.position])
        _cancel(_limits(over), still_used=_limits(waiting))
    return outcomes


def _start(
    context: Context, starts: Sequence[Callable[[], Any]], positions: range, timeout: float | None
) -> list[_Started]:
    def limit() -> Any:
        if timeout is None:
            return None
        return context.create_timer(context.current_utc_datetime + timedelta(seconds=timeout))

    # The first ones always start together, so they share a timer.
    shared = limit() if positions.start == 0 else None
    return [_Started(position=position, task=starts[position](), limit=shared or limit()) for position in positions]


def _in_order_of_ids(new: Sequence[_Started]) -> Iterator[Any]:
    """The tasks, and each timer after its last task."""
    for limit, sharing in groupby(new, key=lambda each: each.limit):
        yield from (each.task for each in sharing)
        if limit is not None:
            yield limit


def _limits(started: Sequence[_Started]) -> dict[Any, None]:
    """Their timers, each once and in order: the first is due first."""
    return dict.fromkeys(each.limit for each in started if each.limit is not None)


def _cancel(limits: dict[Any, None], *, still_used: dict[Any, None]) -> None:
    """Cancels timers: an instance with an open one would not end before it is due."""
    for limit in limits:
        if limit not in still_used and not limit.is_completed:
            limit.cancel()
