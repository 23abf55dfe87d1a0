"""The names of open work in an explanation: `chunk 17` if the input of an activity says so, else `task 3`.

Task ids mean nothing to the author of an app, so the one member of the input that is an id is used, if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from durablehost.core.actions import HTTP_ACTIVITY
from durablehost.core.history import TaskScheduled
from durablehost.core.json_text import parse_or_text
from durablehost.core.open_work import Work
from durablehost.core.payload import activity_argument
from durablehost.engine.wording import listed, quoted

_ID_MEMBER = re.compile(r"(\w{2,30}?)(?:_id|Id|ID)", re.ASCII)
_LONGEST_INPUT = 100_000
_LONGEST_ID = 40


def task_name(work: Work) -> str:
    """`chunk 17 ('process_chunk')`."""
    kind, number = _kind_and_number(work)
    return f"{kind} {number} ({function_name(work)})"


def task_list(work: Sequence[Work]) -> str:
    """`'reserve' (chunks 3 and 4) and 'bill' (task 5)`. Tasks of one function are all named in the same way."""
    by_function: dict[str, list[Work]] = {}
    for each in work:
        by_function.setdefault(function_name(each), []).append(each)
    return listed([f"{name} ({_numbers(tasks)})" for name, tasks in by_function.items()])


def _numbers(tasks: Sequence[Work]) -> str:
    """`chunks 3 and 4`."""
    names = [_kind_and_number(task) for task in tasks]
    if len({kind for kind, _ in names}) > 1:
        names = [("task", str(task.event_id)) for task in tasks]
    kind = names[0][0]
    return f"{kind if len(names) == 1 else f'{kind}s'} {listed([number for _, number in names])}"


def function_name(work: Work) -> str:
    return "call_http" if work.name == HTTP_ACTIVITY else quoted(work.name)


def _kind_and_number(work: Work) -> tuple[str, str]:
    document = _input(work)
    ids = [
        (found[1].replace("_", " "), str(value))
        for name, value in document.items()
        if (found := _ID_MEMBER.fullmatch(name)) and _is_id(value)
    ]
    return ids[0] if len(ids) == 1 else ("task", str(work.event_id))


def _input(work: Work) -> dict[str, Any]:
    """The members of an input that is a JSON object, or text with one; empty for other inputs."""
    if not isinstance(work, TaskScheduled) or len(work.input or "") > _LONGEST_INPUT:
        return {}
    value: Any = parse_or_text(activity_argument(work.input))
    if isinstance(value, str):
        value = parse_or_text(value)
    return value if isinstance(value, dict) else {}


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool) and 0 < len(str(value)) <= _LONGEST_ID
