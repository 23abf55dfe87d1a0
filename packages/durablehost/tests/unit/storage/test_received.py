"""The states of received messages: only changes in the table happen, and every counter is the sum over its messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("hypothesis")

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from durablehost.core.messages import TaskMessage
from durablehost.storage.messages.received import LEAST_RESULT_ROOM, TRANSITIONS, HeldMessage, Ledger, MessageState
from durablehost.storage.messages.sessions import Batch, Sessions
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.unit.storage.test_sessions import held, raised, result_message

NEW, EARLY, WAITING, OUT, KEPT, DONE = MessageState


@pytest.mark.parametrize("state", MessageState)
@pytest.mark.parametrize("path", [[], [EARLY], [WAITING], [WAITING, OUT], [WAITING, OUT, KEPT], [WAITING, DONE]])
def test_a_change_of_state_happens_if_the_table_has_it(path: list[MessageState], state: MessageState) -> None:
    ledger, message = Ledger(), held(raised("x"))
    for each in path:
        ledger.move(message, each)
    before = path[-1] if path else NEW
    if state in TRANSITIONS[before]:
        ledger.move(message, state)
        assert message.state is state
    else:
        with pytest.raises(AssertionError, match=f"that is {before.value} cannot be {state.value}"):
            ledger.move(message, state)
        assert message.state is before


def test_every_state_can_be_reached_and_left_but_the_last() -> None:
    assert set(TRANSITIONS) == set(MessageState)
    assert {after for states in TRANSITIONS.values() for after in states} == set(MessageState) - {NEW}
    assert [state for state in MessageState if not TRANSITIONS[state]] == [DONE]


def test_a_message_that_is_done_is_new_if_it_is_received_again() -> None:
    ledger, message = Ledger(), held(raised("x"), message_id="m")
    ledger.move(message, WAITING)
    assert ledger.refresh(held(raised("x"), message_id="m", receipt="r2").stored)
    assert message.stored.pop_receipt == "r2"
    ledger.move(message, DONE)
    assert not ledger.refresh(message.stored)


def test_a_quick_result_counts_for_its_room_alone() -> None:
    ledger, result = Ledger(), held(result_message("a", "e1"), queue="work-items")
    result.result_queue = "q0"
    ledger.move(result, WAITING)
    total = ledger.total(WAITING)
    assert (total.count, total.start_count, total.byte_count, total.result_room) == (0, 0, 0, LEAST_RESULT_ROOM)


LARGE = "x" * 100_000
MESSAGES: dict[str, Callable[[str], TaskMessage]] = {
    "event": lambda instance: raised("x", instance),
    "large event": lambda instance: raised(LARGE, instance),
    "result": lambda instance: result_message(instance, "e1"),
    "start": lambda instance: build.start(instance, execution_id="e2"),
}


class AnyCourse(RuleBasedStateMachine):
    """Runs the operations of a hub on its messages in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions(lambda: 0)
        self.all: list[HeldMessage] = []
        self.early: list[HeldMessage] = []
        self.out: list[Batch] = []

    def of(self, *states: MessageState) -> list[HeldMessage]:
        return [each for each in self.all if each.state in states]

    @rule(kind=st.sampled_from(sorted(MESSAGES)), instance=st.sampled_from("ab"), is_quick=st.booleans())
    def receive(self, kind: str, instance: str, is_quick: bool) -> None:
        message = held(MESSAGES[kind](instance), queue=f"q-{instance}")
        if is_quick and kind == "result":
            message.result_queue = f"q-{instance}"
        self.all.append(message)
        self.sessions.add(message)

    @rule(instance=st.sampled_from("ab"))
    def receive_early(self, instance: str) -> None:
        message = held(raised("x", instance), queue=f"q-{instance}")
        self.all.append(message)
        self.early.append(message)
        assert self.sessions.add_early(message)

    @precondition(lambda self: self.early)
    @rule(is_lost=st.booleans())
    def become_due(self, is_lost: bool) -> None:
        (self.sessions.remove_early if is_lost else self.sessions.add)(self.early.pop(0))

    @precondition(lambda self: self.all)
    @rule(data=st.data())
    def receive_again(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.all))
        assert self.sessions.refresh(again.stored) is (again.state is not DONE)

    @rule(absorbs=st.booleans())
    def take(self, absorbs: bool) -> None:
        batch = self.sessions.take()
        if batch is not None:
            self.out.append(batch)
            if absorbs:
                self.sessions.absorb(batch)

    @precondition(lambda self: self.out)
    @rule(kept=st.integers(0, 3))
    def finish(self, kept: int) -> None:
        batch = self.out.pop(0)
        own = [each for each in batch.messages if not each.is_quick_result]
        self.sessions.finish(batch, frozenset(each.stored.message_id for each in own[:kept]))

    @precondition(lambda self: self.out)
    @rule()
    def put_back(self) -> None:
        self.sessions.put_back(self.out.pop(0))

    @precondition(lambda self: self.out)
    @rule()
    def lose_and_restore_a_payload(self) -> None:
        for each in self.out[0].messages:
            if each.lacks_payload:
                self.sessions.restore(each, raised(LARGE, self.out[0].instance_id))

    @rule(instance=st.sampled_from("ab"))
    def lose_the_partition(self, instance: str) -> None:
        removed = self.sessions.remove_waiting(f"q-{instance}")
        assert all(each.state is DONE for each in removed)

    @invariant()
    def every_counter_is_the_sum_over_its_messages(self) -> None:
        in_flight = [each for each in self.of(EARLY, WAITING, OUT) if not each.is_quick_result]
        waiting_starts = [each for each in self.of(WAITING) if each.is_start]
        assert self.sessions.waiting_start_count == len(waiting_starts)
        assert self.sessions.message_count == len(in_flight) - len(waiting_starts)
        assert self.sessions.message_bytes == sum(each.size for each in in_flight)

    @invariant()
    def whatever_is_out_is_in_a_batch_that_is_out(self) -> None:
        assert set(self.of(OUT)) == {each for batch in self.sessions.batches_out for each in batch.messages}


TestAnyCourse = AnyCourse.TestCase
