"""The order of two executions of one instance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durablehost.core import lineage
from durablehost.core.history import ExecutionStarted, OrchestrationInstance
from durablehost.core.lineage import (
    MAX_GENERATIONS,
    continued_execution_id,
    derived_execution_id,
    descends,
    is_overtaken,
)
from packages.durablehost.tests.unit.core.examples import LATER, ME, PARENT, started


def after(execution_id: str, generations: int) -> str:
    for _ in range(generations):
        execution_id = continued_execution_id(execution_id)
    return execution_id


def with_id(execution_id: str) -> ExecutionStarted:
    return started(orchestration_instance=replace(ME, execution_id=execution_id))


def called(task_id: int, by: str = "p1", parent_id: str = "parent") -> ExecutionStarted:
    instance = OrchestrationInstance(instance_id=parent_id, execution_id=by)
    parent = replace(PARENT, orchestration_instance=instance, task_schedule_id=task_id)
    child = replace(ME, execution_id=derived_execution_id(by, str(task_id)))
    return started(orchestration_instance=child, parent_instance=parent)


@pytest.mark.parametrize("generations", [1, 2, MAX_GENERATIONS])
def test_an_execution_descends_from_those_it_continued_from(generations: int) -> None:
    assert descends(after("e1", generations), "e1")
    assert not descends("e1", after("e1", generations))


@pytest.mark.parametrize(("later", "earlier"), [("e1", "e1"), ("e2", "e1"), (None, "e1"), ("e1", None), (None, None)])
def test_an_execution_does_not_descend_from_itself_or_from_others(later: str | None, earlier: str | None) -> None:
    assert not descends(later, earlier)


def test_an_execution_is_compared_with_itself_without_a_look_at_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entities compare the execution of each request with the one before it; a look costs a thousand hashes."""
    monkeypatch.setattr(lineage, "continued_execution_id", None)
    assert not descends("e1", "e1")


def test_a_start_is_overtaken_by_its_own_execution_and_by_those_that_continued_from_it() -> None:
    assert is_overtaken(with_id("e1"), with_id("e1"))
    assert is_overtaken(with_id("e1"), with_id(after("e1", 3)))
    assert not is_overtaken(with_id(after("e1", 3)), with_id("e1"))
    assert not is_overtaken(with_id("e2"), with_id("e1"))


def test_a_call_is_overtaken_by_a_later_call_of_the_same_parent() -> None:
    assert is_overtaken(called(0), called(1))
    assert not is_overtaken(called(1), called(0))
    assert is_overtaken(called(5), called(0, by=after("p1", 2)))
    assert not is_overtaken(called(0, by=after("p1", 2)), called(5))


def test_a_call_is_not_overtaken_by_calls_of_others_or_by_clients() -> None:
    assert not is_overtaken(called(0), called(1, parent_id="another"))
    assert not is_overtaken(called(0), called(1, by="p2"))
    assert not is_overtaken(called(0), with_id("e1"))
    assert not is_overtaken(with_id("e1"), called(0))


def test_a_call_that_a_rewind_repeats_under_its_task_id_is_not_overtaken() -> None:
    again = replace(called(0), orchestration_instance=replace(ME, execution_id="made anew"), timestamp=LATER)
    assert not is_overtaken(again, called(0))
    assert not is_overtaken(again, called(4))
