"""Runs tasks in parallel, waits for all of them, keeps every outcome and shows how far they are.

The rule of this file: everything is scheduled by the first yield, and what follows only waits. `task_all` over all
tasks would be silent until the end and forget the other results at the first failure; `task_any` over all of them would
cost the square of their number in every replay. So `task_all` is over batches, and `task_any` over those few.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import azure.durable_functions as df

# How many times at most progress is reported. Task ids do not depend on it, so it may change under running instances.
MAX_BATCHES: Final = 20

Progress = Callable[[list[bool]], None]


@dataclass(frozen=True, kw_only=True)
class _Batch:
    tasks: Sequence[Any]
    all: Any


def settle(
    context: df.DurableOrchestrationContext, tasks: Sequence[Any], report: Progress
) -> Generator[Any, Any, list[Any]]:
    """The result, or the exception, of each task in the order of `tasks`; `report` hears which tasks are finished."""
    batches = _batches(context, tasks)
    waiting = batches
    while waiting:
        yield context.task_any([batch.all for batch in waiting])
        report([task.is_completed for task in tasks])
        waiting = [batch for batch in waiting if not batch.all.is_completed]
    outcomes: list[Any] = []
    for batch in batches:
        outcomes += yield from _outcomes(batch)
        report([task.is_completed for task in tasks])
    return outcomes


def _batches(context: df.DurableOrchestrationContext, tasks: Sequence[Any]) -> list[_Batch]:
    size = -(-len(tasks) // MAX_BATCHES)
    parts = [tasks[first : first + size] for first in range(0, len(tasks), size)]
    return [_Batch(tasks=part, all=context.task_all(list(part))) for part in parts]


def _outcomes(batch: _Batch) -> Generator[Any, Any, list[Any]]:
    try:
        results: list[Any] = yield batch.all
    except Exception:
        # Its first failure is all that task_all tells; the tasks themselves still hold, or will hold, their own.
        results = []
        for task in batch.tasks:
            results += [(yield from _outcome(task))]
    return results


def _outcome(task: Any) -> Generator[Any, Any, Any]:
    try:
        return (yield task)
    except Exception as failure:
        return failure
