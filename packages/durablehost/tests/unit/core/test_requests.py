"""Requests of orchestrations to entities: as recorded events, as messages, and again after a crash."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durablehost.core.actions import CallEntity, CallSubOrchestrator, OrchestratorResult, SignalEntity, Work
from durablehost.core.checkpoint import Checkpoint, Stage
from durablehost.core.entity_messages import request_id
from durablehost.core.episode import Episode
from durablehost.core.history import EventRaised, EventSent, HistoryEvent, OrchestrationInstance
from durablehost.core.replay import Replay
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import ticks_of
from durablehost.errors import NonDeterminismError
from packages.durablehost.tests.unit.core.examples import (
    AT,
    LATER,
    ME,
    completed,
    first_episode,
    scheduled,
    started,
    waits,
)

LOG = "@log@one"
SIGNAL = SignalEntity(instance_id=LOG, operation="add", input="3")
CALL = CallEntity(instance_id=LOG, operation="get", input="null")
ASKS = OrchestratorResult(is_done=False, actions=(SIGNAL, CALL))


def episode(*arrived: HistoryEvent, history: tuple[HistoryEvent, ...] = ()) -> Episode:
    return Episode(started=started(), history=history, arrived=arrived, now=LATER)


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


def test_requests_name_their_sender_and_their_predecessor() -> None:
    signal, call = requests(episode(started()).complete(ASKS).checkpoint)
    members = ["op", "signal", "input", "id", "parent", "parentExecution", "Timestamp", "Predecessor"]
    assert list(signal) == ["$type", *members, "requestTime"]
    assert signal["$type"].startswith("Microsoft.Azure.WebJobs.Extensions.DurableTask.RequestMessage, ")
    assert (signal["requestTime"], call["requestTime"]) == (
        "2026-03-01T10:00:05+00:00",
        "2026-03-01T10:00:05.0000001+00:00",
    )
    assert (signal["op"], signal["signal"], signal["input"]) == ("add", True, '"3"')
    assert (call["op"], call["input"], call["parent"], call["parentExecution"]) == ("get", '"null"', "me", "e1")
    assert "signal" not in call
    assert (signal["id"], call["id"]) == (
        request_id("me", ticks_of(LATER), 0),
        request_id("me", ticks_of(LATER), 1),
    )
    assert (signal["Predecessor"], call["Predecessor"]) == ("0001-01-01T00:00:00", signal["Timestamp"])
    assert (signal["Timestamp"], call["Timestamp"]) == ("2026-03-01T10:00:05Z", "2026-03-01T10:00:05.0000001Z")


def test_an_episode_that_a_crash_cut_short_sends_the_same_requests_later() -> None:
    first = episode(started()).complete(ASKS).checkpoint
    cut_short = Episode(
        started=started(), history=first.stages[-1].events, arrived=None, now=LATER + timedelta(minutes=1)
    )
    assert requests(first) == requests(cut_short.complete(ASKS).checkpoint)


CHILD = CallSubOrchestrator(name="C", input="1")


@pytest.mark.parametrize("actions", [(SIGNAL, CALL), (CALL,), (CHILD,)])
def test_an_episode_that_sends_requests_or_starts_children_is_written_ahead(actions: tuple[Work, ...]) -> None:
    checkpoint = episode(started()).complete(OrchestratorResult(is_done=False, actions=actions)).checkpoint
    assert checkpoint.stages == (Stage(checkpoint.new_events[:2]),)


def test_an_episode_that_sends_neither_is_not_written_ahead() -> None:
    assert episode(started()).complete(waits("A")).checkpoint.stages == ()


def test_a_later_episode_is_written_ahead_after_the_messages_of_the_earlier_one_are_sent() -> None:
    first = episode(started()).complete(waits("A")).checkpoint
    result = replace(waits("A"), actions=(*waits("A").actions, SIGNAL))
    combined = first.then(episode(completed(0), history=first.new_events).complete(result).checkpoint)
    opened = len(first.new_events) + 2
    assert combined.new_events[opened - 1] == replace(completed(0), is_played=True)
    assert combined.stages == (Stage(combined.new_events[:opened], sent=1),)


def test_before_the_next_execution_sends_requests_the_one_that_continues_as_it_is_written_ahead() -> None:
    first = episode(started()).complete(waits("A")).checkpoint
    later = episode(completed(0), history=first.new_events).complete(waits("A", "B")).checkpoint
    opened = (*first.new_events, *later.new_events[:2])
    following = episode(started()).complete(ASKS).checkpoint
    combined = first.then(later).replaced().then(following)
    assert (combined.new_events, combined.stages) == (following.new_events, (Stage(opened, sent=1),))
    assert combined.then(following).stages == combined.stages


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


def test_an_execution_can_end_without_the_result_of_an_entity_call() -> None:
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
def test_a_request_other_than_the_recorded_one_raises_an_error(action: Any, told: str) -> None:
    recorded = EventSent(timestamp=AT, event_id=0, instance_id=LOG, name="op", input="{}")
    with pytest.raises(NonDeterminismError, match=f"has EventSent of '{LOG}' as task 0, but .* asks for {told}"):
        Replay((action,)).follow(first_episode(recorded))
