"""The patterns of the Durable Functions documentation except fan-out, as orchestrators with exactly known outcomes.

Rule of this file: external events are delivered at least once, so orchestrators count only distinct events.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df

from durablehost.app.model import FunctionApp
from durablehost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
)
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.replay.simulation import SdkExecutor
from packages.durablehost.tests.unit.engine.scripted import function

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
Program = Generator[Any, Any, Any]

TICKS = 5
GENERATIONS = 8
CALLERS, CALLS = 4, 3
COUNTER_ID = "@counter@shared"
BREADTH = 2


def monitor(context: Context) -> Program:
    """Consumes every tick, each in an execution of its own that leaves a cancelled timer behind."""
    seen = set(context.get_input())
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    tick = context.wait_for_external_event("Tick")
    winner = yield context.task_any([tick, timer])
    if winner == tick:
        timer.cancel()
        seen.add(tick.result)
    if len(seen) < TICKS:
        context.continue_as_new(sorted(seen))
        return None
    return sorted(seen)


def approval(context: Context) -> Program:
    """Waits for a person, beside a deadline that is never reached."""
    yield context.call_activity("echo", "ask")
    deadline = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    answer = context.wait_for_external_event("Approval")
    winner = yield context.task_any([answer, deadline])
    if winner != answer:
        return "too late"
    deadline.cancel()
    return (yield context.call_activity("echo", answer.result))


def eternal(context: Context) -> Program:
    """Does one piece of work in each execution."""
    done = yield context.call_activity("echo", context.get_input())
    if done < GENERATIONS:
        context.continue_as_new(done + 1)
    return done


def endless(context: Context) -> Program:
    """Goes on until it is terminated."""
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=200))
    context.continue_as_new(context.get_input())


def caller(context: Context) -> Program:
    """Adds to a counter that others add to as well."""
    counter = df.EntityId("counter", "shared")
    totals: list[int] = []
    while len(totals) < CALLS:
        total = yield context.call_entity(counter, "add", 1)
        totals.append(total)
    return totals


def counter(context: Any) -> None:
    total = context.get_state(lambda: 0) + context.get_input()
    context.set_state(total)
    context.set_result(total)


def family(context: Context) -> Program:
    """Three levels of children; those of the second have ids of their own."""
    path = context.get_input()
    level = path.count("/")
    if level == 3:
        return (yield context.call_activity("echo", path))
    children = [
        context.call_sub_orchestrator("family", f"{path}/{i}", f"child-{path}-{i}".replace("/", "-") if level else None)
        for i in range(BREADTH)
    ]
    return (yield context.task_all(children))


def paused(context: Context) -> Program:
    """Is suspended and resumed while it works and waits."""
    results = yield context.task_all([context.call_activity("echo", i) for i in range(3)])
    return [*results, (yield context.wait_for_external_event("Go"))]


def leaves(path: str = "root") -> Any:
    return path if path.count("/") == 3 else [leaves(f"{path}/{i}") for i in range(BREADTH)]


ORCHESTRATORS = {
    "monitor": monitor,
    "approval": approval,
    "eternal": eternal,
    "endless": endless,
    "caller": caller,
    "family": family,
    "paused": paused,
}
APP = FunctionApp(
    root=Path(),
    functions=(
        *(function(name, "orchestrationTrigger") for name in ORCHESTRATORS),
        function("echo", "activityTrigger"),
        function("counter", "entityTrigger"),
    ),
)


def new_executor() -> SdkExecutor:
    return SdkExecutor(ORCHESTRATORS, {"echo": lambda value: value}, {"counter": counter})


@dataclass(frozen=True)
class Expected:
    """The expected end of an instance; no `output` if it depends on other instances."""

    status: RuntimeStatus = RuntimeStatus.COMPLETED
    output: Any = None


CALLER_IDS = [f"caller-{i}" for i in range(CALLERS)]
EXPECTED: dict[str, Expected] = {
    "monitor": Expected(output=list(range(TICKS))),
    "approval": Expected(output="granted"),
    "eternal": Expected(output=GENERATIONS),
    "endless": Expected(status=RuntimeStatus.TERMINATED, output="enough"),
    "family": Expected(output=leaves()),
    "paused": Expected(output=[0, 1, 2, "go"]),
    **dict.fromkeys(CALLER_IDS, Expected()),
}


def starts() -> Iterator[TaskMessage]:
    values: dict[str, Any] = {"monitor": [], "eternal": 1, "family": "root"}
    for instance_id in EXPECTED:
        text = json.dumps(json.dumps(values.get(instance_id)))
        yield build.start(instance_id, name=instance_id.split("-")[0], input_text=text)


def client_messages(now: datetime) -> list[TaskMessage]:
    """The requests of clients, in order for each instance; across instances any order is valid."""
    sent: list[tuple[str, HistoryEvent]] = [
        *(("monitor", raised(now, "Tick", i)) for i in range(TICKS)),
        ("approval", raised(now, "Approval", "granted")),
        ("paused", ExecutionSuspended(timestamp=now, reason="pause")),
        ("paused", raised(now, "Go", "go")),
        ("paused", ExecutionResumed(timestamp=now, reason="go on")),
        ("endless", ExecutionTerminated(timestamp=now, input="enough")),
    ]
    return [
        TaskMessage(event=event, target=OrchestrationInstance(instance_id=instance_id, execution_id=None))
        for instance_id, event in sent
    ]


def raised(now: datetime, name: str, value: Any) -> EventRaised:
    return EventRaised(timestamp=now, name=name, input=json.dumps(value))
