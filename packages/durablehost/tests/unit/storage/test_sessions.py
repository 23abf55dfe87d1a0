"""How messages in memory become batches: all of an instance up to a start; only one batch of an instance is out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from durablehost.core.history import EventRaised, ExecutionSuspended, OrchestrationInstance, TaskCompleted
from durablehost.core.messages import TaskMessage
from durablehost.storage.messages.queues import MessageQueue, StoredMessage
from durablehost.storage.messages.received import LEAST_RESULT_ROOM, HeldMessage
from durablehost.storage.messages.sessions import KEPT_ROOM, RESULT_ROOM, Batch, Sessions
from packages.durablehost.tests.hubs import build

_ids = itertools.count(1)


class NamedQueue:
    def __init__(self, name: str) -> None:
        self.name = name


def held(
    message: TaskMessage,
    *,
    message_id: str | None = None,
    receipt: str = "r1",
    queue: str = "q0",
    inserted_at: datetime | None = None,
    sequence_number: int = 0,
) -> HeldMessage:
    stored = StoredMessage(
        queue=cast(MessageQueue, NamedQueue(queue)),
        message_id=message_id or f"m{next(_ids)}",
        pop_receipt=receipt,
        text="",
        dequeue_count=1,
        inserted_at=inserted_at,
    )
    return HeldMessage(stored=stored, message=message, sequence_number=sequence_number)


def result_message(instance_id: str, execution_id: str | None, task_id: int = 0) -> TaskMessage:
    return TaskMessage(
        event=TaskCompleted(timestamp=build.AT, task_scheduled_id=task_id),
        target=OrchestrationInstance(instance_id=instance_id, execution_id=execution_id),
    )


def raised(name: str, instance_id: str = "a") -> TaskMessage:
    return TaskMessage(
        event=EventRaised(timestamp=build.AT, name=name),
        target=OrchestrationInstance(instance_id=instance_id, execution_id=None),
    )


def taken(sessions: Sessions) -> Batch:
    batch = sessions.take()
    assert batch is not None
    return batch


def test_messages_of_an_instance_form_one_batch_in_order_across_executions() -> None:
    sessions = Sessions(lambda: 0)
    messages = [
        held(result_message("a", "e1", 1)),
        held(raised("x")),
        held(result_message("a", "e2")),
        held(result_message("a", "e1", 2)),
    ]
    for each in messages:
        sessions.add(each)
    batch = taken(sessions)
    assert (batch.instance_id, batch.start, batch.messages) == ("a", None, messages)
    assert sessions.take() is None


def test_events_are_in_the_order_in_which_they_were_sent_among_other_messages() -> None:
    """What a dead host had kept arrives late; the queue counts whole seconds, and each sender its messages."""
    sessions = Sessions(lambda: 0)
    second = timedelta(seconds=1)
    newest = held(raised("x"), inserted_at=build.AT + second, sequence_number=1)
    result = held(result_message("a", "e1"), inserted_at=build.AT)
    mark = replace(raised("x"), event=ExecutionSuspended(timestamp=build.AT))
    oldest, middle = (held(each, inserted_at=build.AT, sequence_number=n) for each, n in ((mark, 7), (raised("x"), 8)))
    for each in (newest, result):
        sessions.add(each)
    batch = taken(sessions)
    for each in (middle, oldest):
        sessions.add(each)
    sessions.absorb(batch)
    assert batch.messages == [oldest, result, middle, newest]

    sessions.finish(batch, frozenset(each.stored.message_id for each in (oldest, newest)))
    between = held(raised("x"), inserted_at=build.AT, sequence_number=9)
    sessions.add(between)
    assert taken(sessions).messages == [oldest, between, newest]


def test_the_time_of_an_event_orders_those_of_two_senders_within_a_second() -> None:
    sessions = Sessions(lambda: 0)
    later = replace(raised("x"), event=EventRaised(timestamp=build.AT + timedelta(milliseconds=5), name="x"))
    messages = [held(later, inserted_at=build.AT, sequence_number=1), held(raised("x"), inserted_at=build.AT)]
    for each in messages:
        sessions.add(replace(each, sequence_number=each.sequence_number or 900))
    assert [each.sequence_number for each in taken(sessions).messages] == [900, 1]


def test_a_start_opens_a_batch_of_its_own() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(raised("before")))
    sessions.add(held(build.start("a", execution_id="e2")))
    sessions.add(held(raised("after")))
    first = taken(sessions)
    assert (first.start, len(first.messages)) == (None, 1)
    sessions.finish(first)
    second = taken(sessions)
    assert (second.start is not None, len(second.messages)) == (True, 2)


def test_only_messages_for_its_execution_join_a_start() -> None:
    sessions = Sessions(lambda: 0)
    for message in (
        build.start("a", execution_id="e2"),
        raised("x"),
        result_message("a", "e1"),
        result_message("a", "e2"),
    ):
        sessions.add(held(message))
    first = taken(sessions)
    assert [each.message.target.execution_id for each in first.messages] == ["e2", None]
    sessions.finish(first)
    assert [each.message.target.execution_id for each in taken(sessions).messages] == ["e1", "e2"]


def test_a_start_knows_whether_earlier_messages_are_taken_before_it() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(build.start("alone")))
    assert not taken(sessions).is_behind
    sessions.add(held(raised("x")))
    sessions.add(held(build.start("a")))
    sessions.finish(taken(sessions))
    assert taken(sessions).is_behind
    sessions.add(held(raised("x", "b")))
    taken(sessions)
    sessions.add(held(build.start("b")))
    sessions.finish(sessions.batch_out("b"))
    assert taken(sessions).is_behind


def test_an_instance_is_out_once_and_others_pass_it() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(result_message("a", "e1")))
    first = taken(sessions)
    sessions.add(held(result_message("a", "e1")))
    sessions.add(held(result_message("b", "e1")))
    assert taken(sessions).instance_id == "b"
    assert sessions.take() is None
    sessions.finish(first)
    assert taken(sessions).instance_id == "a"


def test_messages_for_a_batch_that_is_out_can_still_join_it() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(result_message("a", "e1")))
    batch = taken(sessions)
    for message in (result_message("a", "e1", 1), raised("x"), result_message("a", "e2")):
        sessions.add(held(message))
    sessions.absorb(batch)
    assert [each.message.target.execution_id for each in batch.messages] == ["e1", "e1", None, "e2"]
    sessions.finish(batch)
    assert sessions.take() is None


def test_a_start_never_joins_a_batch_that_is_out() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(raised("x")))
    batch = taken(sessions)
    sessions.add(held(build.start("a", execution_id="e2")))
    sessions.absorb(batch)
    assert len(batch.messages) == 1


def test_a_message_received_again_only_renews_its_receipt_even_while_it_is_out() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(result_message("a", "e1"), message_id="m", receipt="old"))
    batch = taken(sessions)
    again = held(result_message("a", "e1"), message_id="m", receipt="new")
    again.stored.dequeue_count = 2
    sessions.add(again)
    assert [(each.stored.pop_receipt, each.stored.dequeue_count) for each in batch.messages] == [("new", 2)]
    sessions.finish(batch)
    assert sessions.take() is None
    assert sessions.message_count == 0


def test_message_ids_of_different_queues_are_different() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(result_message("a", "e1"), message_id="m", queue="q0"))
    sessions.add(held(result_message("b", "e1"), message_id="m", queue="q1"))
    assert sessions.message_count == 2


def test_a_batch_put_back_is_the_next_of_its_instance() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(result_message("a", "e1")))
    batch = taken(sessions)
    sessions.add(held(result_message("a", "e2")))
    sessions.put_back(batch)
    assert taken(sessions) is batch


def test_messages_of_a_queue_that_are_not_out_can_be_removed() -> None:
    sessions = Sessions(lambda: 0)
    for instance_id, queue in (("a", "q0"), ("b", "q0"), ("c", "q1")):
        sessions.add(held(result_message(instance_id, "e1"), queue=queue))
    out = taken(sessions)
    assert (out.instance_id, sessions.is_idle("q0"), sessions.is_idle("q1")) == ("a", False, True)
    assert [each.message.target.instance_id for each in sessions.remove_waiting("q0")] == ["b"]
    assert sessions.message_count == 2
    assert taken(sessions).instance_id == "c"
    sessions.finish(out)
    assert sessions.is_idle("q0")
    assert sessions.take() is None


def test_a_batch_that_is_not_due_lets_others_pass_and_keeps_its_place() -> None:
    sessions = Sessions(lambda: 5.0)
    for instance_id in ("a", "b", "c"):
        sessions.add(held(raised("event", instance_id)))
    asked: list[tuple[str, float]] = []

    def is_due(batch: Batch, ready_at: float) -> bool:
        asked.append((batch.instance_id, ready_at))
        return batch.instance_id != "a"

    taken_first = sessions.take(is_due)
    assert taken_first is not None
    assert taken_first.instance_id == "b"
    assert asked == [("a", 5.0), ("b", 5.0)]
    assert taken(sessions).instance_id == "a"


def test_waiting_starts_are_counted_apart_until_they_are_taken() -> None:
    sessions = Sessions(lambda: 0)
    for instance_id in ("a", "b", "c"):
        sessions.add(held(build.start(instance_id)))
    sessions.add(held(raised("event", "a")))
    assert (sessions.waiting_start_count, sessions.message_count) == (3, 1)

    batch = taken(sessions)
    assert (sessions.waiting_start_count, sessions.message_count) == (2, 2)
    sessions.put_back(batch)
    assert (sessions.waiting_start_count, sessions.message_count) == (3, 1)
    # The batch that was put back is now the last in line.
    sessions.finish(taken(sessions))
    assert (sessions.waiting_start_count, sessions.message_count) == (2, 1)
    sessions.remove_waiting("q0")
    assert (sessions.waiting_start_count, sessions.message_count) == (0, 0)


def quick_result(result: str, task_id: int = 0) -> HeldMessage:
    event = TaskCompleted(timestamp=build.AT, task_scheduled_id=task_id, result=result)
    target = OrchestrationInstance(instance_id="a", execution_id="e1")
    return replace(held(TaskMessage(event=event, target=target)), result_queue="q0")


def test_quick_results_use_no_room_of_queued_messages() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(quick_result("1"))
    sessions.add(held(result_message("a", "e1", 1)))
    assert sessions.message_count == 1


def test_the_room_for_quick_results_is_limited_by_number() -> None:
    sessions = Sessions(lambda: 0)
    for task_id in range(RESULT_ROOM // LEAST_RESULT_ROOM):
        assert sessions.has_room_for(quick_result("1"))
        sessions.add(quick_result("1", task_id))
    assert not sessions.has_room_for(quick_result("1"))
    sessions.finish(taken(sessions))
    assert sessions.has_room_for(quick_result("1"))
    assert sessions.message_count == 0


def test_a_large_quick_result_uses_the_room_of_many() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(quick_result("x" * (RESULT_ROOM - LEAST_RESULT_ROOM)))
    assert sessions.has_room_for(quick_result("1"))
    assert not sessions.has_room_for(quick_result("x" * (LEAST_RESULT_ROOM + 1)))
    sessions.remove_waiting("q0")
    assert sessions.has_room_for(quick_result("x" * RESULT_ROOM))


def large(text: str, instance_id: str = "a") -> TaskMessage:
    return TaskMessage(
        event=EventRaised(timestamp=build.AT, name="Go", input=text),
        target=OrchestrationInstance(instance_id=instance_id, execution_id=None),
    )


def test_messages_in_memory_are_counted_by_bytes() -> None:
    sessions = Sessions(lambda: 0)
    assert sessions.message_bytes == 0
    sessions.add(held(large("x" * 100_000), message_id="m-large"))
    sessions.add(held(large("x" * 100_000), message_id="m-large"))
    assert 100_000 < sessions.message_bytes < 110_000
    batch = taken(sessions)
    assert sessions.message_bytes > 100_000
    sessions.put_back(batch)
    assert sessions.message_bytes > 100_000
    sessions.finish(taken(sessions))
    assert sessions.message_bytes == 0


def test_bytes_of_kept_messages_count_only_while_they_are_taken() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(large("x" * 100_000), message_id="m-kept"))
    sessions.finish(taken(sessions), frozenset({"m-kept"}))
    assert sessions.message_bytes == 0
    sessions.add(held(large("")))
    assert sessions.message_bytes < 100_000
    batch = taken(sessions)
    assert sessions.message_bytes > 100_000
    sessions.finish(batch)
    assert sessions.message_bytes == 0


def test_a_kept_message_that_comes_again_is_taken_again() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(kept := held(large(""), message_id="m-kept"))
    sessions.finish(taken(sessions), frozenset({"m-kept"}))
    assert sessions.take() is None
    for _ in range(2):
        assert sessions.refresh(held(large(""), message_id="m-kept", receipt="new").stored)
    batch = taken(sessions)
    assert batch.messages == [kept]
    assert kept.stored.pop_receipt == "new"
    sessions.finish(batch)
    assert sessions.take() is None


def test_bytes_of_removed_messages_do_not_count() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(large("x" * 100_000), message_id="m-kept"))
    sessions.finish(taken(sessions), frozenset({"m-kept"}))
    sessions.add(held(large("x" * 100_000, "b")))
    assert len(sessions.remove_waiting("q0")) == 2
    assert sessions.message_bytes == 0


def test_kept_messages_drop_payloads_above_the_limit_and_get_them_back() -> None:
    sessions = Sessions(lambda: 0)
    texts = {name: name * (KEPT_ROOM // 2 - 10_000) for name in ("a", "b", "c")}
    for instance_id, text in texts.items():
        sessions.add(held(large(text, instance_id), message_id=f"m-{instance_id}"))
        sessions.finish(taken(sessions), frozenset({f"m-{instance_id}"}))
    for instance_id, text in texts.items():
        sessions.add(held(large("", instance_id)))
        batch = taken(sessions)
        kept, _ = batch.messages
        assert kept.lacks_payload is (instance_id == "c")
        if kept.lacks_payload:
            assert sessions.message_bytes < 10_000
            sessions.restore(kept, large(text, instance_id))
        assert kept.message == large(text, instance_id)
        assert sessions.message_bytes > len(text)
        sessions.finish(batch)
        assert sessions.message_bytes == 0
