"""The names of open work: by the one id in its input, or by its task id."""

from __future__ import annotations

import json

import pytest

from durablehost.core.actions import HTTP_ACTIVITY
from durablehost.core.history import SubOrchestrationInstanceCreated, TaskScheduled
from durablehost.core.payload import wrap_activity_input
from durablehost.engine.task_names import task_list, task_name
from packages.durablehost.tests.unit.core.examples import AT


def activity(task_id: int, text: str | None, name: str = "A") -> TaskScheduled:
    return TaskScheduled(timestamp=AT, event_id=task_id, name=name, input=text)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"chunk_id": 17, "total": 40}, "chunk 17 ('A')"),
        (json.dumps({"chunk_id": 17}), "chunk 17 ('A')"),
        ({"orderId": "A-7"}, "order A-7 ('A')"),
        ({"order_line_id": 0}, "order line 0 ('A')"),
        ({"chunk_id": 17, "tenant_id": 1}, "task 3 ('A')"),
        ({"id": 17}, "task 3 ('A')"),
        ({"chunk_id": [1]}, "task 3 ('A')"),
        ({"chunk_id": ""}, "task 3 ('A')"),
        ({"is_valid": True}, "task 3 ('A')"),
        (17, "task 3 ('A')"),
        (None, "task 3 ('A')"),
    ],
)
def test_an_activity_is_named_by_the_one_id_in_its_input(value: object, name: str) -> None:
    assert task_name(activity(3, wrap_activity_input(json.dumps(value)))) == name


def test_an_input_that_is_not_recorded_or_large_or_damaged_names_nothing() -> None:
    large = wrap_activity_input(json.dumps({"chunk_id": 1, "text": "x" * 200_000}))
    for text in (None, "{", large):
        assert task_name(activity(3, text)) == "task 3 ('A')"


def test_a_sub_orchestration_is_named_by_its_task() -> None:
    child = SubOrchestrationInstanceCreated(timestamp=AT, event_id=3, name="Kid", instance_id="k", input='{"a_id":1}')
    assert task_name(child) == "task 3 ('Kid')"


def test_a_list_groups_by_function_and_names_the_tasks_of_each_in_the_same_way() -> None:
    chunks = [activity(number, wrap_activity_input(json.dumps({"chunk_id": 10 + number}))) for number in range(2)]
    assert task_list([*chunks, activity(6, None, HTTP_ACTIVITY)]) == "'A' (chunks 10 and 11) and call_http (task 6)"
    assert task_list([*chunks, activity(5, None)]) == "'A' (tasks 0, 1 and 5)"
