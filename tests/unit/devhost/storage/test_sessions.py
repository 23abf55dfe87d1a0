"""How messages in memory become batches: all of an instance, up to a start; one batch of an instance is out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import cast

from devhost.core.history import EventRaised, OrchestrationInstance, TaskCompleted
from devhost.core.messages import TaskMessage
from devhost.storage.queues import MessageQueue, StoredMessage
from devhost.storage.sessions import ANSWER_ROOM, KEPT_ROOM, LEAST_ANSWER, Batch, HeldMessage, Sessions
from tests.hubs import build

_ids = itertools.count(1)


class NamedQueue:
    def __init__(self, name: str) -> None:
        self.name = name


def held(message: TaskMessage, *, message_id: str | None = None, receipt: str = "r1", queue: str = "q0") -> HeldMessage:
    stored = StoredMessage(
        queue=cast(MessageQueue, NamedQueue(queue)),
        message_id=message_id or f"m{next(_ids)}",
        pop_receipt=receipt,
        text="",
        dequeue_count=1,
        inserted_at=None,
    )
    return HeldMessage(stored=stored, message=message)


def reply(instance_id: str, execution_id: str | None, task_id: int = 0) -> TaskMessage:
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


def test_messages_of_an_instance_come_together_in_order_whatever_their_execution() -> None:
    sessions = Sessions(lambda: 0)
    messages = [held(reply("a", "e1", 1)), held(raised("x")), held(reply("a", "e2")), held(reply("a", "e1", 2))]
    for each in messages:
        sessions.add(each)
    batch = taken(sessions)
    assert (batch.instance_id, batch.start, batch.messages) == ("a", None, messages)
    assert sessions.take() is None


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


def test_only_what_is_for_its_execution_joins_a_start() -> None:
    sessions = Sessions(lambda: 0)
    for message in (build.start("a", execution_id="e2"), raised("x"), reply("a", "e1"), reply("a", "e2")):
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
    sessions.add(held(reply("a", "e1")))
    first = taken(sessions)
    sessions.add(held(reply("a", "e1")))
    sessions.add(held(reply("b", "e1")))
    assert taken(sessions).instance_id == "b"
    assert sessions.take() is None
    sessions.finish(first)
    assert taken(sessions).instance_id == "a"


def test_what_comes_for_a_batch_that_is_out_can_still_join_it() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(reply("a", "e1")))
    batch = taken(sessions)
    for message in (reply("a", "e1", 1), raised("x"), reply("a", "e2")):
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
    sessions.add(held(reply("a", "e1"), message_id="m", receipt="old"))
    batch = taken(sessions)
    again = held(reply("a", "e1"), message_id="m", receipt="new")
    again.stored.dequeue_count = 2
    sessions.add(again)
    assert [(each.stored.pop_receipt, each.stored.dequeue_count) for each in batch.messages] == [("new", 2)]
    sessions.finish(batch)
    assert sessions.take() is None
    assert sessions.message_count == 0


def test_message_ids_of_different_queues_are_different() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(reply("a", "e1"), message_id="m", queue="q0"))
    sessions.add(held(reply("b", "e1"), message_id="m", queue="q1"))
    assert sessions.message_count == 2


def test_a_batch_put_back_is_the_next_of_its_instance() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(reply("a", "e1")))
    batch = taken(sessions)
    sessions.add(held(reply("a", "e2")))
    sessions.put_back(batch)
    assert taken(sessions) is batch


def test_what_is_not_out_of_a_queue_can_be_removed() -> None:
    sessions = Sessions(lambda: 0)
    for instance_id, queue in (("a", "q0"), ("b", "q0"), ("c", "q1")):
        sessions.add(held(reply(instance_id, "e1"), queue=queue))
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


def test_starts_that_wait_are_counted_by_themselves_until_they_are_taken() -> None:
    sessions = Sessions(lambda: 0)
    for instance_id in ("a", "b", "c"):
        sessions.add(held(build.start(instance_id)))
    sessions.add(held(raised("event", "a")))
    assert (sessions.waiting_start_count, sessions.message_count) == (3, 1)

    batch = taken(sessions)
    assert (sessions.waiting_start_count, sessions.message_count) == (2, 2)
    sessions.put_back(batch)
    assert (sessions.waiting_start_count, sessions.message_count) == (3, 1)
    # The one that was put back waits behind the others now.
    sessions.finish(taken(sessions))
    assert (sessions.waiting_start_count, sessions.message_count) == (2, 1)
    sessions.remove_waiting("q0")
    assert (sessions.waiting_start_count, sessions.message_count) == (0, 0)


def answer(result: str, task_id: int = 0) -> HeldMessage:
    event = TaskCompleted(timestamp=build.AT, task_scheduled_id=task_id, result=result)
    target = OrchestrationInstance(instance_id="a", execution_id="e1")
    return replace(held(TaskMessage(event=event, target=target)), answers_at="q0")


def test_answers_without_a_message_take_no_room_of_those_that_have_one() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(answer("1"))
    sessions.add(held(reply("a", "e1", 1)))
    assert sessions.message_count == 1


def test_answers_without_a_message_have_room_for_so_many() -> None:
    sessions = Sessions(lambda: 0)
    for task_id in range(ANSWER_ROOM // LEAST_ANSWER):
        assert sessions.has_room_for(answer("1"))
        sessions.add(answer("1", task_id))
    assert not sessions.has_room_for(answer("1"))
    sessions.finish(taken(sessions))
    assert sessions.has_room_for(answer("1"))
    assert sessions.message_count == 0


def test_a_large_answer_takes_the_room_of_many() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(answer("x" * (ANSWER_ROOM - LEAST_ANSWER)))
    assert sessions.has_room_for(answer("1"))
    assert not sessions.has_room_for(answer("x" * (LEAST_ANSWER + 1)))
    sessions.remove_waiting("q0")
    assert sessions.has_room_for(answer("x" * ANSWER_ROOM))


def large(text: str, instance_id: str = "a") -> TaskMessage:
    return TaskMessage(
        event=EventRaised(timestamp=build.AT, name="Go", input=text),
        target=OrchestrationInstance(instance_id=instance_id, execution_id=None),
    )


def test_messages_on_their_way_through_are_counted_by_bytes() -> None:
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


def test_bytes_of_messages_that_are_kept_do_not_count_until_they_are_taken_again() -> None:
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


def test_bytes_of_messages_that_are_removed_do_not_count() -> None:
    sessions = Sessions(lambda: 0)
    sessions.add(held(large("x" * 100_000), message_id="m-kept"))
    sessions.finish(taken(sessions), frozenset({"m-kept"}))
    sessions.add(held(large("x" * 100_000, "b")))
    assert len(sessions.remove_waiting("q0")) == 2
    assert sessions.message_bytes == 0


def test_messages_that_are_kept_drop_their_payloads_beyond_so_many_bytes_and_get_them_back() -> None:
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
