"""Decides which of two executions of one instance came first, by their ids, not by clocks.

The id of an execution that another one begins is derived from the id of that one, so an episode that is repeated after
a crash begins the same executions again.
"""

from __future__ import annotations

import hashlib

from durablehost.core.history import ExecutionStarted

# How far back `descends` looks. Late messages of an execution arrive soon after its end, or when its timers are due.
MAX_GENERATIONS = 1000

_CONTINUATION = "next"


def derived_execution_id(execution_id: str | None, what: str, rewound_count: int = 0) -> str:
    """The id of an execution that this one begins. `what` distinguishes it from others that this one begins."""
    parts = [str(execution_id), what] + ([str(rewound_count)] if rewound_count else [])
    return hashlib.sha256(":".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def continued_execution_id(execution_id: str | None) -> str:
    """The id of the execution that this one continues as. No rewind changes it, because `descends` knows of none."""
    return derived_execution_id(execution_id, _CONTINUATION)


def descends(execution_id: str | None, ancestor: str | None) -> bool:
    """True if `ancestor` has continued as new, once or more, and so became `execution_id`.

    False also for executions of a real host, whose ids are random, and across more than `MAX_GENERATIONS`.
    """
    if execution_id is None or ancestor is None or execution_id == ancestor:
        return False
    for _ in range(MAX_GENERATIONS):
        ancestor = continued_execution_id(ancestor)
        if ancestor == execution_id:
            return True
    return False


def is_overtaken(start: ExecutionStarted, current: ExecutionStarted) -> bool:
    """True if `start` is late: its execution is the current one, or an earlier one.

    It is earlier if the current execution continues it, or if the same parent has called the current one later.
    """
    wanted, known = (each.orchestration_instance.execution_id for each in (start, current))
    return wanted == known or descends(known, wanted) or _is_called_earlier(start, current)


def _is_called_earlier(start: ExecutionStarted, current: ExecutionStarted) -> bool:
    caller, later = start.parent_instance, current.parent_instance
    if caller is None or later is None:
        return False
    mine, other = caller.orchestration_instance, later.orchestration_instance
    if mine.instance_id != other.instance_id:
        return False
    if mine.execution_id == other.execution_id:
        # A rewind of the parent repeats a call under an earlier task id; it is the later call all the same.
        return caller.task_schedule_id < later.task_schedule_id and start.timestamp <= current.timestamp
    return descends(other.execution_id, mine.execution_id)
