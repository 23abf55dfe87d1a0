"""Which starts are run, dropped, or checked again later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from durablehost.core.history import ExecutionStarted, OrchestrationInstance, ParentInstance
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord
from durablehost.storage.messages.start_check import Verdict, judge_start
from packages.durablehost.tests.hubs import build

START = ExecutionStarted(
    timestamp=build.AT,
    orchestration_instance=OrchestrationInstance(instance_id="order-42", execution_id="e1"),
    name="ProcessOrder",
    generation=3,
)
CONFIRMED = InstanceRecord(
    instance_id="order-42",
    execution_id="E1",
    name="ProcessOrder",
    version="",
    runtime_status=RuntimeStatus.PENDING,
    created_at=build.AT,
    last_updated_at=build.AT,
    generation=3,
)
OTHERS = replace(CONFIRMED, execution_id="e2", created_at=build.AT - timedelta(seconds=1))
LATER = build.AT + timedelta(seconds=5)


def judge(record: InstanceRecord | None, *, dequeue_count: int = 1, inserted_at: datetime = LATER) -> Verdict:
    return judge_start(START, record, dequeue_count=dequeue_count, inserted_at=inserted_at)


def test_a_confirmed_start_is_run_whatever_the_case_of_its_id() -> None:
    assert judge(CONFIRMED) is Verdict.ACCEPT
    assert judge(replace(CONFIRMED, execution_id=None)) is Verdict.ACCEPT


def test_a_start_without_a_row_waits_for_it_and_is_dropped_in_the_end() -> None:
    assert judge(None) is Verdict.LATER
    assert judge(None, dequeue_count=9) is Verdict.LATER
    assert judge(None, dequeue_count=10) is Verdict.DELETE


def test_the_start_of_a_child_needs_no_row() -> None:
    parent = ParentInstance(
        name="P",
        orchestration_instance=OrchestrationInstance(instance_id="p", execution_id="e0"),
        task_schedule_id=0,
    )
    child = replace(START, parent_instance=parent)
    assert judge_start(child, None, dequeue_count=1, inserted_at=None) is Verdict.ACCEPT


def test_a_start_that_lost_against_one_of_the_same_generation_is_dropped() -> None:
    assert judge(OTHERS) is Verdict.DELETE
    running = replace(OTHERS, runtime_status=RuntimeStatus.RUNNING)
    assert judge(running) is Verdict.LATER
    assert judge(running, dequeue_count=2) is Verdict.DELETE


def test_a_start_of_another_generation_waits_for_its_own_row() -> None:
    assert judge(replace(OTHERS, generation=2), dequeue_count=2) is Verdict.LATER


def test_a_start_older_than_the_row_waits() -> None:
    newer = replace(OTHERS, created_at=LATER)
    assert judge(newer, dequeue_count=2) is Verdict.LATER
