"""What becomes of the messages to one entity: batches, results, locks, delays, and the form in which it is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.core.checkpoint import Checkpoint
from durablehost.core.entities import EntityEpisode, read_snapshot
from durablehost.core.entity_lock import MOST_REMEMBERED
from durablehost.core.entity_messages import request_from_text, request_id
from durablehost.core.entity_result import BatchResult, OperationResult, parse_batch_result
from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
)
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import ticks_from_text, ticks_to_round_trip_text
from durablehost.errors import PoisonMessage, StorageError, UnsupportedFeatureError, UserCodeError
from packages.durablehost.tests.unit.core.examples import AT

ALICE = OrchestrationInstance(instance_id="@counter@alice", execution_id="x2")
ORDER = {"parent": "order-42", "parentExecution": "o1"}
LOCKS = [{"name": "counter", "key": "alice"}, {"name": "counter", "key": "bob"}]
BEFORE, LATER = "2026-03-01T09:59:59Z", "2026-03-01T10:00:00Z"
NO_TIMES = {"Timestamp": "0001-01-01T00:00:00", "Predecessor": "0001-01-01T00:00:00"}


def episode(stored: dict[str, Any] | None = None) -> EntityEpisode:
    history: tuple[HistoryEvent, ...] = ()
    if stored is not None:
        start = ExecutionStarted(
            timestamp=AT, orchestration_instance=ALICE, name=ALICE.instance_id, input=json.dumps(stored)
        )
        history = (OrchestratorStarted(timestamp=AT), start, OrchestratorCompleted(timestamp=AT))
    return EntityEpisode(ALICE, history, now=AT)


def op(name: str | None = "add", *, event: str = "op", **members: Any) -> EventRaised:
    request = {"op": name, "input": '"1"', "id": f"id-{name}", **members}
    return EventRaised(timestamp=AT, name=event, input=json.dumps(request))


def lock(parent: str, position: int = 0, *, id: str | None = None) -> EventRaised:
    return op(None, id=id or f"lock-{parent}", parent=parent, parentExecution="p1", lockset=LOCKS, pos=position)


def release(parent: str, id: str | None = None) -> EventRaised:
    message = {"parent": parent, "id": id or f"lock-{parent}"}
    return EventRaised(timestamp=AT, name="release", input=json.dumps(message))


def continued(entity: EntityEpisode) -> EntityEpisode:
    """The next episode of an entity, after it has run all that it may."""
    while entity.take(100):
        pass
    return episode(stored(entity.checkpoint()))


def receive(entity: EntityEpisode, *events: EventRaised) -> EntityEpisode:
    for event in events:
        entity.receive(event)
    return entity


def taken(entity: EntityEpisode, limit: int = 100) -> list[str | None]:
    return [request.operation for request in entity.take(limit)]


def stored(checkpoint: Checkpoint) -> dict[str, Any]:
    start = checkpoint.new_events[1]
    assert isinstance(start, ExecutionStarted)
    document: dict[str, Any] = json.loads(start.input or "")
    return document


def status(checkpoint: Checkpoint) -> Any:
    assert checkpoint.update is not None
    return json.loads(checkpoint.update.custom_status or "")


def sent(messages: Sequence[TaskMessage]) -> list[tuple[str, str | None, str, Any]]:
    return [
        (message.target.instance_id, message.target.execution_id, event.name, meant(json.loads(event.input or "null")))
        for message in messages
        if isinstance(event := message.event, EventRaised)
    ]


def meant(document: Any) -> Any:
    """A message without what only .NET reads."""
    return {name: value for name, value in document.items() if name not in ("$type", "requestTime")}


class TestBatches:
    def test_keep_requests_in_the_order_of_arrival(self) -> None:
        entity = receive(episode(), op("a"), op("b"), op("c"))
        assert taken(entity, 2) == ["a", "b"]
        assert taken(entity, 2) == ["c"]
        assert taken(entity) == []

    def test_begin_with_requests_left_in_the_queue(self) -> None:
        entity = receive(episode({"queue": [{"op": "old", "id": "1"}], "sorter": {}}), op("new"))
        assert taken(entity) == ["old", "new"]

    def test_are_passed_to_the_function_with_the_state(self) -> None:
        entity = receive(
            episode({"exists": True, "state": "5", "sorter": {}}), op("add", signal=True), op("get", input=None)
        )
        assert json.loads(entity.payload(entity.take(9))) == {
            "self": {"name": "counter", "key": "alice"},
            "exists": True,
            "state": "5",
            "batch": [
                {"name": "add", "input": '"1"', "isSignal": True},
                {"name": "get", "input": None, "isSignal": False},
            ],
        }

    def test_send_results_to_callers_and_nobody_else(self) -> None:
        entity = receive(episode(), op("a", **ORDER), op("b", signal=True, **ORDER), op("c"), op("d", id="4", **ORDER))
        results = ["1", "2", "3", '"no"']
        operations = tuple(OperationResult(result=text, is_error=text == '"no"') for text in results)
        entity.complete(entity.take(9), BatchResult(exists=True, state="7", results=operations))
        checkpoint = entity.checkpoint()
        (first, _) = (message.event for message in checkpoint.outbox)
        assert isinstance(first, EventRaised)
        extension = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
        assert first.input == f'{{"$type":"{extension}.ResponseMessage, {extension}","result":"1"}}'
        assert sent(checkpoint.outbox) == [
            ("order-42", "o1", "id-a", {"result": "1"}),
            ("order-42", "o1", "4", {"result": '"no"', "exceptionType": "Error"}),
        ]
        assert all(message.is_from_entity for message in checkpoint.outbox)

    def test_that_fail_as_a_whole_fail_their_callers_and_keep_the_state(self) -> None:
        entity = receive(episode({"exists": True, "state": "5", "sorter": {}}), op("a", **ORDER))
        entity.fail(entity.take(9), 'no "luck"')
        checkpoint = entity.checkpoint()
        assert stored(checkpoint)["state"] == "5"
        ((_, _, _, response),) = sent(checkpoint.outbox)
        assert json.loads(response["result"]) == 'no "luck"'
        assert response["exceptionType"] == "Error"


class TestTheStoredForm:
    def test_is_three_events_of_a_new_execution(self) -> None:
        entity = receive(episode(), op())
        entity.complete(entity.take(9), BatchResult(exists=True, state="1", results=(OperationResult(result="1"),)))
        checkpoint = entity.checkpoint()
        began, start, ended = checkpoint.new_events
        assert (type(began), type(ended)) == (OrchestratorStarted, OrchestratorCompleted)
        assert isinstance(start, ExecutionStarted)
        assert (start.name, start.version, start.orchestration_instance) == ("@counter@alice", "", ALICE)
        assert start.input == '{"exists":true,"state":"1","sorter":{}}'
        update = checkpoint.update
        assert update is not None
        assert (update.execution_id, update.runtime_status, update.started) == ("x2", RuntimeStatus.RUNNING, start)
        assert update.custom_status == '{"entityExists":true}'

    def test_of_an_entity_that_does_not_exist_has_neither_state_nor_status(self) -> None:
        entity = receive(episode({"exists": True, "state": "1", "sorter": {}}), op("delete"))
        entity.complete(
            entity.take(9), BatchResult(exists=False, state=None, results=(OperationResult(result="null"),))
        )
        assert stored(entity.checkpoint()) == {"sorter": {}}
        assert status(entity.checkpoint()) == {}

    @pytest.mark.parametrize(
        ("text", "exists"),
        [
            (None, False),
            ('{"sorter":{}}', False),
            ('{"exists":true,"state":"1"}', True),
            ('{"state":"1"}', True),
            ('{"exists":false,"state":"1"}', False),
        ],
    )
    def test_shows_whether_the_entity_exists(self, text: str | None, exists: bool) -> None:
        assert read_snapshot(text).exists is exists

    @pytest.mark.parametrize("document", ["7", "no JSON"])
    def test_that_cannot_be_read_raises_an_error(self, document: str) -> None:
        with pytest.raises(StorageError):
            read_snapshot(document)

    @pytest.mark.parametrize(
        "members", [{"queue": [{"op": "without an id"}]}, {"granted": ["id"]}, {"granted": {"id": "0"}}]
    )
    def test_with_unreadable_members_raises_an_error(self, members: dict[str, Any]) -> None:
        with pytest.raises(StorageError, match="@counter@alice"):
            episode(members)


class TestLocks:
    def test_are_granted_after_all_earlier_requests_and_forwarded(self) -> None:
        entity = receive(episode(), op("before"), lock("one"), op("after"))
        assert taken(entity) == ["before"]
        assert taken(entity) == []
        checkpoint = entity.checkpoint()
        ((target, execution_id, name, request),) = sent(checkpoint.outbox)
        assert (target, execution_id, name) == ("@counter@bob", None, "op")
        assert request == {
            "op": None,
            "input": '"1"',
            "id": "lock-one",
            "parent": "one",
            "parentExecution": "p1",
            **NO_TIMES,
            "lockset": LOCKS,
            "pos": 1,
        }
        assert stored(checkpoint)["lockedBy"] == "one"
        assert status(checkpoint) == {"queueSize": 1, "lockedBy": "one"}

    def test_are_confirmed_by_the_last_entity_of_the_set(self) -> None:
        entity = receive(episode(), lock("one", position=1))
        assert taken(entity) == []
        assert sent(entity.checkpoint().outbox) == [("one", "p1", "lock-one", {"result": "Lock Acquisition Completed"})]

    def test_admit_requests_of_their_holder_only(self) -> None:
        entity = episode({"lockedBy": "one", "queue": [{"op": "waiting", "id": "1", "parent": "two"}], "sorter": {}})
        receive(entity, op("first", parent="one"), op("other"), op("second", parent="one"))
        assert taken(entity) == ["first", "second"]
        assert taken(entity) == []

    def test_are_released_by_their_holder_only(self) -> None:
        entity = episode({"lockedBy": "one", "queue": [{"op": "waiting", "id": "1"}], "sorter": {}})
        assert taken(receive(entity, release("two"))) == []
        assert taken(receive(entity, release("one"))) == ["waiting"]

    def test_are_not_granted_again_when_a_request_is_repeated_after_the_release(self) -> None:
        for position in (0, 1):
            entity = continued(receive(episode(), lock("one", position)))
            receive(entity, release("one"), lock("one", position), op("free"))
            assert taken(entity) == ["free"]
            assert "lockedBy" not in stored(entity.checkpoint())
            assert entity.checkpoint().outbox == ()

    def test_are_granted_once_for_a_request_that_is_repeated_while_it_waits_or_is_granted(self) -> None:
        entity = receive(episode({"lockedBy": "two", "sorter": {}}), lock("one", 1), op("between"), lock("one", 1))
        entity = continued(receive(entity, release("two")))
        receive(entity, lock("one", 1))
        assert taken(entity) == []
        receive(entity, release("one"), op("free"))
        assert taken(entity) == ["between", "free"]

    def test_are_granted_to_the_next_critical_section_of_the_same_orchestration(self) -> None:
        entity = continued(receive(episode(), lock("one", 1, id="first")))
        receive(entity, release("one", "first"), lock("one", 1, id="second"))
        assert taken(entity) == []
        assert [name for _, _, name, _ in sent(entity.checkpoint().outbox)] == ["second"]

    def test_outlast_the_release_of_an_earlier_critical_section_that_is_repeated(self) -> None:
        entity = continued(receive(episode(), lock("one", 1, id="first")))
        entity = continued(receive(entity, release("one", "first"), lock("one", 1, id="second")))
        receive(entity, release("one", "first"), op("other"))
        assert taken(entity) == []
        assert taken(receive(entity, release("one", "fix-orphaned-lock"))) == ["other"]

    def test_are_granted_twice_if_an_entity_stands_twice_in_the_set(self) -> None:
        entity = continued(receive(episode(), lock("one", 0)))
        receive(entity, lock("one", 1))
        assert taken(entity) == []
        assert [name for _, _, name, _ in sent(entity.checkpoint().outbox)] == ["lock-one"]

    def test_that_were_granted_long_ago_are_forgotten(self) -> None:
        entity = episode()
        for number in range(MOST_REMEMBERED + 1):
            receive(entity, lock("one", 1, id=str(number)))
            assert taken(entity) == []
            receive(entity, release("one", str(number)))
        assert len(stored(entity.checkpoint())["granted"]) == MOST_REMEMBERED


class TestWhatIsStoredBeforeResultsAreSent:
    def test_is_what_has_arrived_in_its_order(self) -> None:
        arrived = op("b", **ORDER), op("a", signal=True)
        entity = receive(episode({"exists": True, "state": "5", "sorter": {}}), *arrived)
        entity.fail(entity.take(9), "no")
        (stage,) = entity.checkpoint(arrived).stages
        assert (stage.sent, stage.execution_id) == (0, None)
        assert stage.events == (
            OrchestratorStarted(timestamp=AT),
            *(replace(event, is_played=True) for event in arrived),
        )

    def test_begins_an_execution_of_a_new_entity_that_the_episode_replaces(self) -> None:
        arrived = op("a", **ORDER)
        entity = receive(episode(), arrived)
        entity.fail(entity.take(9), "no")
        checkpoint = entity.checkpoint([arrived])
        (stage,) = checkpoint.stages
        opened, start, stored_event = stage.events
        assert (opened, stored_event) == (OrchestratorStarted(timestamp=AT), replace(arrived, is_played=True))
        assert isinstance(start, ExecutionStarted)
        assert (start.name, start.input) == ("@counter@alice", None)
        assert stage.execution_id not in (None, "x2")
        repeated = EntityEpisode(ALICE, stage.events, now=AT)
        assert taken(receive(repeated, arrived)) == ["a"]

    def test_is_nothing_if_nothing_is_sent(self) -> None:
        entity = receive(episode(), op("a"))
        entity.fail(entity.take(9), "no")
        assert entity.checkpoint([op("a")]).stages == ()


class TestRequestsThatWaitForOthers:
    EARLY = op("second", parent="x", Timestamp=LATER, Predecessor=BEFORE)

    def test_are_processed_after_the_window(self) -> None:
        entity = receive(episode(), self.EARLY)
        assert taken(entity) == []
        checkpoint = entity.checkpoint()
        (reminder,) = checkpoint.outbox
        assert reminder.target.instance_id == "@counter@alice"
        assert reminder.due_at == AT + timedelta(minutes=30)
        assert isinstance(reminder.event, EventRaised)
        later = receive(EntityEpisode(ALICE, checkpoint.new_events, now=reminder.due_at), reminder.event)
        assert taken(later) == ["second"]
        assert later.checkpoint().outbox == ()

    def test_that_come_twice_are_processed_once_even_after_the_reminder(self) -> None:
        checkpoint = receive(episode(), self.EARLY).checkpoint()
        (reminder,) = checkpoint.outbox
        assert isinstance(reminder.event, EventRaised)
        at = AT + timedelta(days=1)
        later = receive(EntityEpisode(ALICE, checkpoint.new_events, now=at), reminder.event, self.EARLY)
        assert taken(later) == ["second"]
        again = receive(EntityEpisode(ALICE, later.checkpoint().new_events, now=at), self.EARLY)
        assert taken(again) == []

    def test_that_come_with_the_awaited_one_send_no_reminder(self) -> None:
        awaited = op("first", parent="x", Timestamp=BEFORE)
        entity = receive(episode(), self.EARLY, awaited)
        assert taken(entity) == ["first", "second"]
        assert entity.checkpoint([self.EARLY, awaited]).outbox == ()

    def test_send_one_reminder_at_a_time(self) -> None:
        entity = receive(episode(), self.EARLY, op("third", parent="y", Timestamp=LATER, Predecessor=BEFORE))
        checkpoint = entity.checkpoint([self.EARLY])
        assert len(checkpoint.outbox) == 1
        assert checkpoint.stages == ()
        more = EntityEpisode(ALICE, checkpoint.new_events, now=AT + timedelta(minutes=1))
        receive(more, op("fourth", parent="z", Timestamp=LATER, Predecessor=BEFORE))
        assert more.checkpoint().outbox == ()

    def test_are_remembered_again_if_they_still_wait(self) -> None:
        checkpoint = receive(episode(), self.EARLY).checkpoint()
        (reminder,) = checkpoint.outbox
        assert isinstance(reminder.event, EventRaised)
        sooner = AT + timedelta(minutes=29)
        waiting = receive(EntityEpisode(ALICE, checkpoint.new_events, now=sooner), reminder.event)
        assert taken(waiting) == []
        assert [message.due_at for message in waiting.checkpoint().outbox] == [sooner + timedelta(minutes=30)]


class TestScheduledRequests:
    def test_that_are_early_are_sent_again(self) -> None:
        due = "2026-03-01T10:05:00Z"
        entity = receive(episode(), op(event=f"op@{due}", due=due))
        assert taken(entity) == []
        (message,) = entity.checkpoint().outbox
        assert (message.target.instance_id, message.due_at) == ("@counter@alice", AT + timedelta(minutes=5))
        assert isinstance(message.event, EventRaised)
        assert request_from_text(message.event.input).due_at == AT + timedelta(minutes=5)

    def test_that_are_due_after_the_longest_delay_are_delayed_in_parts(self) -> None:
        entity = receive(episode(), op(event="op@2026-03-04T10:00:00Z", due="2026-03-20T10:00:00Z"))
        (message,) = entity.checkpoint().outbox
        assert message.due_at == AT + timedelta(days=3)

    def test_that_are_due_are_not_sorted(self) -> None:
        members = {"due": "2026-03-01T10:00:00.05Z", "parent": "x", "Timestamp": LATER, "Predecessor": BEFORE}
        entity = receive(episode(), op(event="op@2026-03-01T10:00:00Z", **members))
        assert taken(entity) == ["add"]


def test_other_events_only_start_an_episode() -> None:
    entity = receive(
        episode({"queue": [{"op": "left", "id": "1"}], "suspended": True}), EventRaised(timestamp=AT, name="continue")
    )
    assert taken(entity) == ["left"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"id":"1","Timestamp":"soon"}'])
def test_a_message_that_is_no_request_raises_an_error(text: str | None) -> None:
    with pytest.raises(PoisonMessage):
        episode().receive(EventRaised(timestamp=AT, name="op", input=text))


def test_the_result_of_a_batch_is_read() -> None:
    times = '"duration":0,"startTime":0'
    failed, added = f'{{"isError":true,{times},"result":"\\"boom\\""}}', f'{{"isError":false,{times},"result":"4"}}'
    text = f'{{"entityExists":true,"entityState":"4","results":[{failed},{added}],"signals":[]}}'
    assert parse_batch_result(text, 2) == BatchResult(
        exists=True,
        state="4",
        results=(OperationResult(result='"boom"', is_error=True), OperationResult(result="4")),
    )


def test_an_entity_that_does_not_exist_has_no_state() -> None:
    assert parse_batch_result('{"entityExists":false,"entityState":"null","results":[]}', 0).state is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        '{"entityExists":true,"results":[7]}',
        '{"entityExists":true,"results":[]}',
        '{"entityExists":true,"entityState":5,"results":[{"result":"1"}]}',
    ],
)
def test_a_result_that_the_sdk_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(UserCodeError):
        parse_batch_result(text, 1)


def test_signals_of_an_entity_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedFeatureError, match="the entity sends signals"):
        parse_batch_result('{"entityExists":true,"entityState":"1","results":[],"signals":[{}]}', 0)


@pytest.mark.parametrize(
    ("at", "number", "expected"),
    [
        ("2026-11-29T18:45:08.9172508Z", 0, "2672e4bd-f59c-5582-9e71-84c9db705977"),
        ("2026-11-29T18:45:10.4435842Z", 2, "6c620f30-875a-5cb0-bb3f-309862cf1421"),
        ("2026-11-29T18:45:10.4435842Z", 3, "b15f5a99-0652-50be-a4b7-9cbf6af91c4f"),
    ],
)
def test_a_request_id_is_the_one_that_a_real_host_has_made(at: str, number: int, expected: str) -> None:
    assert request_id("m1", ticks_from_text(at), number) == expected


def test_a_time_without_fraction_has_seven_digits_in_a_request_id() -> None:
    at = ticks_from_text("2026-11-29T18:45:08Z")
    assert ticks_to_round_trip_text(at) == "2026-11-29T18:45:08.0000000Z"
