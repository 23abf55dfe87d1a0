"""Runs tasks in parallel, tries failed ones again, keeps every outcome and reports each as it comes.

The rule of this file: the first yield schedules everything, or as much as may run at once; the others wait, and
schedule what there is room for, and further attempts. A `task_all` would show no progress until the end, and lose all
other results at the first failure. A `task_any` over all open tasks, again and again, costs the square of their number
in every replay; over the few oldest it does not, and tasks finish roughly in order.

No call has retry options. In Azure, a call with retry that is tried again changes the ids of all tasks that are
scheduled after a `task_any` over it, so that results get lost or reach other tasks. And the id of a task does not
depend on which others have ended together, as long as none fails: an episode that is repeated after a crash may get
more results at once than at first, while messages of the first attempt, with its ids, are still on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from shared_code.durable import Context, Steps
from shared_code.failures import is_permanent

# How many of the oldest open tasks are awaited. No task id depends on it, so it may change under running instances.
WINDOW: Final = 20
# An exception that is not marked as permanent may be permanent all the same, so the attempts are few.
MAX_ATTEMPTS: Final = 3
PAUSE: Final = timedelta(seconds=1)

# Called with the position of a start, and the result or the exception of its task.
Report = Callable[[int, Any], None]


@dataclass(frozen=True, kw_only=True)
class _Started:
    """What a start waits for: its task, or the pause before its next attempt; and the timer of its limit."""

    position: int
    task: Any
    limit: Any
    attempts_left: int
    has_failed: bool = False
    is_pause: bool = False

    @property
    def has_outcome(self) -> bool:
        if not self.task.is_completed or self.is_pause:
            return False
        result = self.task.result
        return not self.attempts_left or not isinstance(result, Exception) or is_permanent(result)

    @property
    def is_over(self) -> bool:
        return self.has_outcome or (self.limit is not None and bool(self.limit.is_completed))

    @property
    def timers(self) -> list[Any]:
        return [timer for timer in (self.limit, self.task if self.is_pause else None) if timer is not None]


def settle(
    context: Context,
    starts: Sequence[Callable[[], Any]],
    report: Report = lambda position, outcome: None,
    most_at_once: int | None = None,
    timeout: float | None = None,
    attempts: int = MAX_ATTEMPTS,
) -> Steps:
    """The result of each start in order, or the exception of its last attempt. A permanent one is the last.

    A task that waits for its next attempt counts as one of the `most_at_once`. One that has no outcome `timeout`
    seconds after its start has a TimeoutError as its outcome. It goes on, and its later result is ignored.
    """
    outcomes: list[Any] = [None] * len(starts)
    started = 0
    waiting: list[_Started] = []
    again: list[Any] = []
    while waiting or started < len(starts):
        room = len(starts) if most_at_once is None else most_at_once - len(waiting)
        new = _start(context, starts, range(started, min(started + room, len(starts))), timeout, attempts)
        started += len(new)
        # The new ones are always among them, because it is the yield that schedules them.
        scheduled = [*again, *_in_order_of_ids(new)]
        yield context.task_any([*(task for task in _awaited(waiting) if task not in again), *scheduled])
        over: list[_Started] = []
        still: list[_Started] = []
        again = []
        for each in [*waiting, *new]:
            if each.is_over:
                outcomes[each.position] = _outcome(each, timeout)
                report(each.position, outcomes[each.position])
                over.append(each)
            elif each.task.is_completed:
                further = _further(context, starts, each)
                again.append(further.task)
                still.append(further)
            else:
                still.append(each)
        waiting = still
        _cancel(over, waiting)
    return outcomes


def _start(
    context: Context, starts: Sequence[Callable[[], Any]], positions: range, timeout: float | None, attempts: int
) -> list[_Started]:
    def limit() -> Any:
        if timeout is None:
            return None
        return context.create_timer(context.current_utc_datetime + timedelta(seconds=timeout))

    # The first ones always start together, so they share a timer.
    shared = limit() if positions.start == 0 else None
    return [
        _Started(position=position, task=starts[position](), limit=shared or limit(), attempts_left=attempts - 1)
        for position in positions
    ]


def _further(context: Context, starts: Sequence[Callable[[], Any]], each: _Started) -> _Started:
    """What follows a failed attempt, which is a pause, and what follows that, which is the next attempt."""
    if each.is_pause:
        return replace(each, task=starts[each.position](), is_pause=False)
    pause = context.create_timer(context.current_utc_datetime + PAUSE)
    return replace(each, task=pause, is_pause=True, has_failed=True, attempts_left=each.attempts_left - 1)


def _outcome(each: _Started, timeout: float | None) -> Any:
    return each.task.result if each.has_outcome else TimeoutError(f"not done within {timeout:g} seconds")


def _awaited(waiting: Sequence[_Started]) -> Iterator[Any]:
    """The oldest tasks, those that have failed before, and of the limits the one that is due first."""
    yield from (each.task for each in waiting[:WINDOW])
    yield from (each.task for each in waiting[WINDOW:] if each.has_failed)
    yield from (each.limit for each in waiting[:1] if each.limit is not None)


def _in_order_of_ids(new: Sequence[_Started]) -> Iterator[Any]:
    """The tasks, and each timer after its last task."""
    for limit, sharing in groupby(new, key=lambda each: each.limit):
        yield from (each.task for each in sharing)
        if limit is not None:
            yield limit


def _cancel(over: Sequence[_Started], waiting: Sequence[_Started]) -> None:
    """Cancels the timers that nobody needs: an instance with an open one would not end before it is due."""
    timers = dict.fromkeys(timer for each in over for timer in each.timers if not timer.is_completed)
    needed = [timer for each in waiting for timer in each.timers] if timers else []
    for timer in timers:
        if timer not in needed:
            timer.cancel()
