"""The log lines of instances: kept in order and in bounded memory, the oldest dropped and counted."""

from __future__ import annotations

import logging
import tracemalloc

from durablehost.app.invocation import Invocation
from durablehost.engine.instance_logs import LONGEST_LINE, MOST, MOST_OF_INSTANCE, InstanceLogHandler, InstanceLogs
from packages.durablehost.tests.hubs.memory import ManualClock

KIB = 1024


def call(instance_id: str = "a", task_id: int | None = 3, function: str = "Load") -> Invocation:
    return Invocation(invocation_id="i", function_name=function, inputs={}, instance_id=instance_id, task_id=task_id)


def texts(logs: InstanceLogs, instance_id: str = "a") -> list[str]:
    return [line.text for line in logs.of(instance_id).lines]


def test_lines_are_kept_by_instance_with_what_their_call_says() -> None:
    clock = ManualClock()
    logs = InstanceLogs(clock)
    logs.add(call(), logging.WARNING, "slow")
    clock.advance(5)
    logs.add(call("b", None, "Orch"), logging.INFO, "begins")
    logs.add(call("", None, "Web"), logging.INFO, "for no instance")
    (line,) = logs.of("a").lines
    assert (line.level, line.function, line.task_id, line.text, line.length) == (30, "Load", 3, "slow", 4)
    (other,) = logs.of("b").lines
    assert (other.at - line.at).total_seconds() == 5
    assert other.number > line.number
    assert (logs.of("none").lines, logs.of("").lines) == ((), ())


def test_only_later_lines_are_asked_for() -> None:
    logs = InstanceLogs(ManualClock())
    for text in ("one", "two", "three"):
        logs.add(call(), logging.INFO, text)
    first = logs.of("a").lines[0]
    assert [line.text for line in logs.of("a", after=first.number).lines] == ["two", "three"]


def test_a_long_line_is_cut_and_its_length_is_kept() -> None:
    logs = InstanceLogs(ManualClock())
    logs.add(call(), logging.INFO, "x" * 20_000)
    (line,) = logs.of("a").lines
    assert (len(line.text), line.length) == (LONGEST_LINE, 20_000)


def test_an_instance_that_logs_much_loses_its_oldest_lines_and_no_other_loses_any() -> None:
    logs = InstanceLogs(ManualClock(), most=100 * KIB, most_of_instance=10 * KIB)
    logs.add(call("quiet"), logging.INFO, "kept")
    for number in range(1000):
        logs.add(call(), logging.INFO, f"{number:04}" + "x" * 1000)
    kept = logs.of("a")
    assert kept.logged == 1000
    assert 5 < len(kept.lines) < 10
    assert kept.lines[-1].text.startswith("0999")
    assert texts(logs, "quiet") == ["kept"]


def test_the_instance_that_has_been_quiet_for_the_longest_time_loses_its_lines_first() -> None:
    logs = InstanceLogs(ManualClock(), most=20 * KIB, most_of_instance=10 * KIB)
    for name in ("old", "busy"):
        for number in range(5):
            logs.add(call(name), logging.INFO, f"{number}" + "x" * 1000)
    logs.add(call("old"), logging.INFO, "speaks again")
    for number in range(5):
        logs.add(call("new"), logging.INFO, f"{number}" + "x" * 1000)
    assert {name: logs.of(name).logged - len(logs.of(name).lines) for name in ("old", "busy", "new")} == {
        "old": 0,
        "busy": 3,
        "new": 0,
    }


def test_the_memory_of_all_lines_is_bounded() -> None:
    logs = InstanceLogs(ManualClock())
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        for number in range(60_000):
            logs.add(call(f"instance-{number % 20_000}"), logging.INFO, f"line {number} " + "x" * (number % 700))
        for number in range(10_000):
            logs.add(call("loud"), logging.INFO, f"line {number} " + "ä" * 500)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * MOST
    loud = logs.of("loud").lines
    assert sum(line.size for line in loud) <= MOST_OF_INSTANCE
    assert loud[-1].text.startswith("line 9999 ")


def test_log_records_with_a_call_are_kept() -> None:
    logs = InstanceLogs(ManualClock())
    logger = logging.Logger("Function.Load.User")
    logger.addHandler(InstanceLogHandler(logs))
    logger.warning("%s", "of a call", extra={"call": call()})
    logger.warning("of none", extra={"call": None})
    logger.warning("of the host")
    assert texts(logs) == ["of a call"]


def test_the_lines_of_an_instance_can_be_forgotten() -> None:
    logs = InstanceLogs(ManualClock(), most=20 * KIB, most_of_instance=10 * KIB)
    for _ in range(100):
        logs.add(call("gone"), logging.INFO, "x" * 1000)
        logs.forget("gone")
    logs.forget("gone")
    for number in range(5):
        logs.add(call(), logging.INFO, f"{number}" + "x" * 1000)
    assert (logs.of("gone").lines, len(texts(logs))) == ((), 5)
