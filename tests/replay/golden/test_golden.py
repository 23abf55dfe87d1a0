"""Histories of real runs, replayed through today's orchestrator by the real SDK.

A recording that no longer replays means that instances which are running while the app is replaced will fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from devhost.core.history import (
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from devhost.errors import NonDeterminismError
from orchestrator_function import main as orchestrator
from tests.replay.golden.recording import Recording, Turn, load, take_turn

NAMES = ["completed", "retried", "partial", "groups", "group"]


@pytest.fixture(params=NAMES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return load(request.param)


def replay(recording: Recording) -> Iterator[tuple[Turn, tuple[HistoryEvent, ...]]]:
    """What each episode comes to today: the answer of the orchestrator, and the events to be stored."""
    for recorded in recording.episodes():
        episode = recorded.reopened(recording.started)
        turn, result = take_turn(orchestrator, recording.started, episode)
        assert episode.numberable(result) == episode
        yield turn, episode.complete(result).checkpoint.new_events


def test_every_turn_asks_for_what_was_recorded(recording: Recording) -> None:
    assert [turn for turn, _ in replay(recording)] == list(recording.turns)


def test_every_episode_comes_to_the_events_that_were_stored(recording: Recording) -> None:
    stored = [episode.stored for episode in recording.episodes()]
    assert [events for _, events in replay(recording)] == stored


def test_the_output_is_that_of_the_run(recording: Recording) -> None:
    *_, (last, _) = replay(recording)
    assert last.output == json.loads(recording.completed.result or "null")


def test_the_recordings_hold_what_they_are_for() -> None:
    recordings = {name: load(name) for name in NAMES}

    def count(name: str, event_type: type[HistoryEvent]) -> int:
        return sum(isinstance(event, event_type) for event in recordings[name].events)

    outputs = {name: json.loads(recording.completed.result or "null") for name, recording in recordings.items()}
    assert (outputs["completed"]["status"], outputs["completed"]["succeeded"]) == ("completed", 12)
    assert (outputs["retried"]["status"], outputs["partial"]["status"]) == ("completed", "partial")
    assert count("retried", TimerCreated) == count("retried", TaskFailed) >= 1
    assert count("partial", TaskFailed) == count("partial", TimerCreated) == 3
    assert [each["chunk_id"] for each in outputs["partial"]["results"] if each["status"] == "failed"] == [3]
    assert count("groups", SubOrchestrationInstanceCreated) == 2
    assert len(outputs["groups"]["results"]) == 102
    assert [each["chunk_id"] for each in outputs["group"]["results"]] == [100, 101]


def other_activity(event: HistoryEvent) -> HistoryEvent:
    return replace(event, name="other_activity") if isinstance(event, TaskScheduled) and event.event_id == 5 else event


def a_timer_instead(event: HistoryEvent) -> HistoryEvent:
    if isinstance(event, TaskScheduled) and event.event_id == 5:
        return TimerCreated(timestamp=event.timestamp, event_id=5, fire_at=event.timestamp)
    return event


def fewer_chunks(event: HistoryEvent) -> HistoryEvent:
    if isinstance(event, ExecutionStarted):
        return replace(event, input=(event.input or "").replace('"total_chunks\\": 12', '"total_chunks\\": 11'))
    return event


@pytest.mark.parametrize(
    ("doctor", "named"),
    [
        (other_activity, "TaskScheduled of 'other_activity' as task 5"),
        (a_timer_instead, "a timer as task 5"),
        (fewer_chunks, "as task 11, but the orchestrator now asks for nothing more"),
    ],
)
def test_a_history_of_other_code_is_refused_as_non_deterministic(
    doctor: Callable[[HistoryEvent], HistoryEvent], named: str
) -> None:
    original = load("completed")
    doctored = Recording(events=tuple(map(doctor, original.events)))
    assert doctored.events != original.events
    second: Any = list(doctored.episodes())[1].reopened(doctored.started)
    _, result = take_turn(orchestrator, doctored.started, second)
    with pytest.raises(NonDeterminismError, match=named):
        second.complete(result)
