"""What orchestrations ask of entities: as recorded events, as messages, and again after a crash."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devhost.core.actions import CallEntity, OrchestratorResult, SignalEntity
from devhost.core.checkpoint import Checkpoint
from devhost.core.entity_messages import request_id
from devhost.core.episode import Episode
from devhost.core.history import EventRaised, EventSent, HistoryEvent, OrchestrationInstance
from devhost.core.replay import Replay
from devhost.core.status import RuntimeStatus
from devhost.errors import NonDeterminismError
from tests.unit.devhost.core.examples import AT, LATER, ME, completed, first_episode, scheduled, started, waits

LOG = "@log@one"
SIGNAL = SignalEntity(instance_id=LOG, operation="add", input="3")
CALL = CallEntity(instance_id=LOG, operation="get", input="null")
ASKS = OrchestratorResult(is_done=False, actions=(SIGNAL, CALL))


def episode(*arrived: HistoryEvent, history: tuple[HistoryEvent, ...] = ()) -> Episode:
    return Episode(started=started(), history=history, arrived=arrived, now=LATER, max_actions=100)


def requests(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    return [json.loads(e.input or "") for e in checkpoint.new_events if isinstance(e, EventSent)]


def test_requests_are_recorded_and_sent_alike() -> None:
    checkpoint = episode(started()).complete(ASKS).checkpoint
    sent = [event for event in checkpoint.new_events if isinstance(event, EventSent)]
    assert [(event.event_id, event.instance_id, event.name) for event in sent] == [(0, LOG, "op"), (1, LOG, "op")]
    raised = [message.event for message in checkpoint.outbox if isinstance(message.event, EventRaised)]
    assert [(event.name, event.input) for event in raised] == [("op", event.input) for event in sent]
    target = OrchestrationInstance(instance_id=LOG, execution_id=None)
    assert {(message.target, message.sender) for message in checkpoint.outbox} == {(target, ME)}


def test_requests_name_who_asks_and_what_went_before() -> None:
    signal, call = requests(episode(started()).complete(ASKS).checkpoint)
    assert list(signal) == ["op", "signal", "input", "id", "parent", "parentExecution", "Timestamp", "Predecessor"]
    assert (signal["op"], signal["signal"], signal["input"]) == ("add", True, '"3"')
    assert (call["op"], call["input"], call["parent"], call["parentExecution"]) == ("get", '"null"', "me", "e1")
    assert "signal" not in call
    assert (signal["id"], call["id"]) == (request_id("me", "e1", 0), request_id("me", "e1", 1))
    assert (signal["Predecessor"], call["Predecessor"]) == ("0001-01-01T00:00:00", signal["Timestamp"])
    assert (signal["Timestamp"], call["Timestamp"]) == ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.0000001Z")


def test_a_turn_that_is_repeated_later_sends_the_same_requests() -> None:
    first = episode(started()).complete(ASKS).checkpoint
    again = replace(episode(started()), now=LATER + timedelta(minutes=1)).complete(ASKS).checkpoint
    assert requests(first) == requests(again)


def test_later_requests_follow_the_recorded_ones() -> None:
    checkpoint = episode(started()).complete(waits("A")).checkpoint
    history = checkpoint.new_events
    result = replace(waits("A"), actions=(*waits("A").actions, SIGNAL))
    (signal,) = requests(episode(completed(0), history=history).complete(result).checkpoint)
    assert signal["Timestamp"] == "2026-03-01T10:00:05Z"
    recorded = EventSent(timestamp=AT, event_id=1, instance_id=LOG, name="op", input=json.dumps({**signal, "id": "1"}))
    history = (*first_episode(scheduled(0), recorded), *episode(completed(0)).opened)
    result = replace(result, actions=(*waits("A").actions, SIGNAL, SIGNAL))
    (next_signal,) = requests(episode(completed(0), history=history).complete(result).checkpoint)
    assert next_signal["Predecessor"] == signal["Timestamp"]
    assert next_signal["Timestamp"] == "2026-03-01T10:00:05.0000001Z"


def test_no_execution_waits_for_an_answer_to_end() -> None:
    checkpoint = episode(started()).complete(replace(ASKS, is_done=True)).checkpoint
    assert checkpoint.update is not None
    assert checkpoint.update.runtime_status is RuntimeStatus.COMPLETED
    assert len(checkpoint.outbox) == 2


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (replace(CALL, instance_id="@log@two"), "the operation 'get' of the entity '@log@two'"),
        (waits("A").work[0], "the activity 'A'"),
    ],
)
def test_another_request_than_the_recorded_one_is_told(action: Any, told: str) -> None:
    recorded = EventSent(timestamp=AT, event_id=0, instance_id=LOG, name="op", input="{}")
    with pytest.raises(NonDeterminismError, match=f"has EventSent of '{LOG}' as task 0, but .* asks for {told}"):
        Replay((action,)).follow(first_episode(recorded))
