"""Programs of calls with odd arguments: any value in any argument of any method of the orchestration context.

A program is data, so that the same one runs on the simulation and on real storage. Every task of it is raced against a
short timer, which also ends legitimate waits, such as a wait for an event that is never sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from typing import Any

import azure.durable_functions as df
from hypothesis import strategies as st

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
Step = tuple[str, tuple[Any, ...]]

_TEXT = st.one_of(
    st.text(max_size=8),
    # Halves of surrogate pairs, control characters, and characters reserved in XML, URLs, OData and table keys.
    st.text(st.sampled_from("ab\ud800\udfff\0\x01\x0b\x1f\x7f\x9f\ufffe\uffff\ufeff\U0001f9e8\r\n\t"), max_size=6),
    st.text(st.sampled_from("a/\\#?%&;+=@:.~\"'<>{}[]() ^$|"), max_size=6),
    st.sampled_from(
        ["", " ", ".", "..", "../..", "@", "@@", "@counter@one", "a@b", "null", "None", "NaN", "child", "CHILD", "root",
         "ROOT", "echo", "counter", "sentinel", "2026-01-05T10:00:00Z", "BuiltIn::HttpActivity", "]]>", "' or 1 eq 1"]
    ),
    st.tuples(
        st.sampled_from(["x", "/", "\0", "é", "\U0001f9e8", "\ud800"]), st.sampled_from([256, 600, 1100, 2000, 5000])
    ).map(lambda both: both[0] * both[1]),
)  # fmt: skip
_NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**30, 0.5, 1e300, math.nan, math.inf, -math.inf]), st.integers(-5, 5)
)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=4,
)
_DATES = st.sampled_from(
    [
        datetime.min,  # noqa: DTZ901 - without a zone on purpose, as those below
        datetime.max,  # noqa: DTZ901
        datetime(2026, 1, 5),  # noqa: DTZ001
        datetime.min.replace(tzinfo=timezone.utc),
        datetime(999, 1, 1, tzinfo=timezone.utc),
        datetime(1969, 12, 31, tzinfo=timezone(timedelta(hours=14))),
        datetime(2026, 3, 1, 10, 0, 3, tzinfo=timezone(timedelta(hours=-3))),
        date(2026, 1, 5),
        timedelta(days=1),
    ]
)
_OBJECTS = st.sampled_from([b"bytes", {1}, object, len, 1 + 2j, "yield"])
_VALUES = st.one_of(_JSON, _JSON, _DATES, _OBJECTS)
_IDS = st.one_of(_TEXT, _TEXT, _VALUES)
_NAMES = st.one_of(st.sampled_from(["echo", "child", "counter"]), _IDS)


def _retry(interval: Any, attempts: Any) -> Any:
    """Options that pass the SDK's own check, which covers only the interval."""
    options = df.RetryOptions(1, 1)
    options._first_retry_interval_in_milliseconds = interval
    options._max_number_of_attempts = attempts
    return options


def _entity(name: Any, key: Any) -> Any:
    return df.EntityId(name, key)


_CALLS: dict[str, Callable[..., Any]] = {
    "call_activity": lambda c, name, value: c.call_activity(name, value),
    "call_activity_with_retry": lambda c, name, value, i, n: c.call_activity_with_retry(name, _retry(i, n), value),
    "call_activity_with_no_options": lambda c, options: c.call_activity_with_retry("echo", options, 1),
    "call_sub_orchestrator": lambda c, name, value, id_, v: c.call_sub_orchestrator(name, value, id_, v),
    "call_sub_orchestrator_with_retry": lambda c, name, value, id_, i, n: c.call_sub_orchestrator_with_retry(
        name, _retry(i, n), value, id_
    ),
    "call_http": lambda c, method, uri, content, headers: c.call_http(method, uri, content, headers),
    "call_entity": lambda c, name, key, operation, value: c.call_entity(_entity(name, key), operation, value),
    "call_no_entity": lambda c, entity: c.call_entity(entity, "add", 1),
    "signal_entity": lambda c, name, key, operation, value: c.signal_entity(_entity(name, key), operation, value),
    "create_timer": lambda c, at: c.create_timer(at),
    "wait_for_external_event": lambda c, name: c.wait_for_external_event(name),
    "set_custom_status": lambda c, value: c.set_custom_status(value),
    "task_all": lambda c, tasks: c.task_all(tasks),
    "task_any": lambda c, tasks: c.task_any(tasks),
}
_ARGUMENTS: dict[str, Sequence[st.SearchStrategy[Any]]] = {
    "call_activity": (_NAMES, _VALUES),
    "call_activity_with_retry": (_NAMES, _VALUES, st.just(1) | _VALUES, st.just(2) | _VALUES),
    "call_activity_with_no_options": (_VALUES,),
    "call_sub_orchestrator": (_NAMES, _VALUES, _IDS, st.none() | _IDS),
    "call_sub_orchestrator_with_retry": (_NAMES, _VALUES, _IDS, st.just(1) | _VALUES, st.just(2) | _VALUES),
    "call_http": (st.just("GET") | _VALUES, st.just("http://127.0.0.1:9/") | _VALUES, _VALUES, _VALUES),
    "call_entity": (_NAMES, _IDS, st.just("add") | _IDS, _VALUES),
    "call_no_entity": (_VALUES,),
    "signal_entity": (_NAMES, _IDS, st.just("add") | _IDS, _VALUES),
    "create_timer": (_DATES | _VALUES,),
    "wait_for_external_event": (_IDS,),
    "set_custom_status": (_VALUES,),
    "task_all": (_VALUES,),
    "task_any": (_VALUES,),
}
# Ways in which a program ends, in place of a further step.
_ENDS = st.tuples(
    st.sampled_from(["return", "return", "raise", "yield", "continue_as_new", "return task"]), st.tuples(_VALUES)
)


def _step(name: str) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.tuples(*_ARGUMENTS[name]))


PROGRAMS: st.SearchStrategy[list[Step]] = st.tuples(
    st.lists(st.one_of([_step(name) for name in _CALLS]), max_size=3), _ENDS
).map(lambda both: [*both[0], both[1]])


def interpreter(programs: Sequence[Sequence[Step]]) -> Callable[[Context], Generator[Any, Any, Any]]:
    """An orchestrator whose input is the number of its program; any other input ends it."""

    def run(context: Context) -> Generator[Any, Any, Any]:
        given = context.get_input()
        if not isinstance(given, int) or not 0 <= given < len(programs) or isinstance(given, bool):
            return "continued"
        for name, arguments in programs[given]:
            if name in _CALLS:
                # Refusals of the SDK and failed tasks do not matter here.
                with suppress(Exception):
                    task = _CALLS[name](context, *arguments)
                    if task is not None and name != "signal_entity":
                        yield from _raced(context, task)
            else:
                return (yield from _end(context, name, *arguments))
        return None

    return run


def _raced(context: Context, task: Any) -> Generator[Any, Any, None]:
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    yield context.task_any([task, timer])
    if not timer.is_completed:
        timer.cancel()


def _end(context: Context, name: str, value: Any) -> Generator[Any, Any, Any]:
    if name == "raise":
        raise ValueError(value)
    if name == "yield":
        yield value
    if name == "continue_as_new":
        context.continue_as_new(value)
        return None
    return context.call_activity("echo", 1) if name == "return task" else value


def child(context: Context) -> Any:
    return context.get_input()


def counter(context: Any) -> None:
    context.set_state(context.get_input())
    context.set_result([context.operation_name, context.get_input()])


def echo(value: Any) -> Any:
    return value
