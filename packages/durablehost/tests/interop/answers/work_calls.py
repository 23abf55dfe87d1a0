"""Calls that show what instances of several kinds have done: children, failures, timers, events, entities."""

from __future__ import annotations

from packages.durablehost.tests.interop.answers.programs import (
    DONE,
    FAILED,
    HISTORY,
    WAITING,
    begun,
    shown,
    started,
    until,
    until_event,
)
from packages.durablehost.tests.interop.answers.steps import Step, delete, get, post

FLAKY = {"calls": "/dev/null", "failures": 1}
VALUES = {"fraction": 1.5, "whole": 2.0, "large": 1e300, "text": "é€", "nothing": None}

CHILDREN: list[Step] = [
    *started("parent", [["child", DONE, "child"], ["child", DONE], ["activity", "echo", "end"]], "Completed"),
    *shown("parent"),
    get("instances/parent?showHistory=true&showInput=false"),
    *shown("child"),
    get("instances?instanceIdPrefix=child"),
    begun("waiting-parent", [["child", WAITING, "waiting-child"]]),
    until("waiting-child", "Running"),
    *shown("waiting-parent"),
    *shown("waiting-child"),
    post("instances/waiting-child/terminate?reason=enough"),
    until("waiting-parent", "Failed"),
    *shown("waiting-parent"),
    *shown("waiting-child"),
    begun("parent-of-terminated", [["child", WAITING, "terminated-child"]]),
    until("terminated-child", "Running"),
    post("instances/terminated-child/terminate"),
    until("parent-of-terminated", "Failed"),
    *shown("parent-of-terminated"),
    *started("parent-of-failed", [["child", FAILED, "failed-child"]], "Failed"),
    *shown("parent-of-failed"),
    *shown("failed-child"),
    delete("instances/parent"),
    get("instances/child"),
    post("instances/child/restart?restartWithNewInstanceId=false"),
    until("child", "Completed"),
    *shown("child"),
    begun("retrying-parent", [["retried", "flaky", {"calls": "/dev/null", "failures": 1}]]),
    until_event("retrying-parent", "TimerCreated"),
    *shown("retrying-parent"),
]

WORK: list[Step] = [
    *started("failed-activity", [["activity", "flaky", FLAKY]], "Failed"),
    *shown("failed-activity"),
    *started("timer", [["timer", 0]], "Completed"),
    *shown("timer"),
    begun("race", [["race", "go", 3600]]),
    until_event("race", "TimerCreated"),
    get(f"instances/race?{HISTORY}"),
    post("instances/race/raiseEvent/go", {"a": 1}),
    until("race", "Completed"),
    *shown("race"),
    begun("events-in-turn", [["activity", "echo", 1], ["event", "first"], ["event", "second"]]),
    until_event("events-in-turn", "TaskCompleted"),
    post("instances/events-in-turn/raiseEvent/first", "one"),
    until_event("events-in-turn", "EventRaised"),
    get(f"instances/events-in-turn?{HISTORY}"),
    *started("continued", [["activity", "echo", 1], ["again"], ["activity", "echo", 2]], "Completed"),
    *shown("continued"),
    *started("fan-out", [["together", ["activity", "echo", 1], ["activity", "echo", 2]]], "Completed"),
    get("instances/fan-out"),
    *started("large", [["activity", "echo", 20_000 * "long "]], "Completed"),
    get(f"instances/large?{HISTORY}&showInput=false"),
    *started("values", [["activity", "echo", VALUES], ["status", VALUES]], "Completed"),
    get("instances/values?showInput=false"),
    *started("dates", [["activity", "echo", "2026-01-01T10:00:00.123456+02:00"]], "Completed"),
    get("instances/dates?showInput=false"),
    *started("caller", [["call", "called", "add", 3], ["signal", "called", "add", 4]], "Completed"),
    *shown("caller"),
    *started("failed-caller", [["call", "called", "fail", "x"]], "Failed"),
    *shown("failed-caller"),
]
