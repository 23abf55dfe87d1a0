"""Histories of real runs, replayed through today's orchestrator by the real SDK.

If a recording no longer replays, instances that are running while the app is updated will fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from durablehost.core.history import (
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.messages import completed_task_id
from durablehost.errors import NonDeterminismError
from orchestrator_function import main as orchestrator
from packages.durablehost.tests.replay.golden.recording import RecordedResult, Recording, load, run_episode

NAMES = ["completed", "retried", "partial", "groups", "group"]


@pytest.fixture(params=NAMES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return load(request.param)


def replay(recording: Recording) -> Iterator[tuple[RecordedResult, tuple[HistoryEvent, ...]]]:
    """Runs each episode with today's code: the result of the orchestrator, and the events to be stored."""
    for stored in recording.episodes():
        episode = stored.reopened(recording.started)
        recorded, result = run_episode(orchestrator, recording.started, episode)
        assert episode.numberable(result) == episode
        yield recorded, episode.complete(result).checkpoint.new_events


def test_every_episode_returns_the_recorded_actions(recording: Recording) -> None:
    assert [recorded for recorded, _ in replay(recording)] == list(recording.results)


def test_every_episode_produces_the_stored_events(recording: Recording) -> None:
    stored = [episode.stored for episode in recording.episodes()]
    assert [events for _, events in replay(recording)] == stored


def test_the_output_is_that_of_the_recorded_run(recording: Recording) -> None:
    *_, (last, _) = replay(recording)
    assert last.output == json.loads(recording.completed.result or "null")


def test_the_recordings_contain_the_cases_they_were_made_for() -> None:
    recordings = {name: load(name) for name in NAMES}

    def count(name: str, event_type: type[HistoryEvent]) -> int:
        return sum(isinstance(event, event_type) for event in recordings[name].events)

    outputs = {name: json.loads(recording.completed.result or "null") for name, recording in recordings.items()}
    assert (outputs["completed"]["status"], outputs["completed"]["succeeded"]) == ("completed", 12)
    assert (outputs["retried"]["status"], outputs["partial"]["status"]) == ("completed", "partial")
    assert count("retried", TimerCreated) == count("retried", TaskFailed) >= 1
    assert (count("partial", TaskFailed), count("partial", TimerCreated)) == (3, 2)
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
        (fewer_chunks, "as task 12, but the orchestrator now asks for nothing more"),
    ],
)
def test_a_history_of_other_code_is_refused_as_non_deterministic(
    doctor: Callable[[HistoryEvent], HistoryEvent], named: str
) -> None:
    original = load("completed")
    doctored = Recording(events=tuple(map(doctor, original.events)))
    assert doctored.events != original.events
    # The first asks for the plan, the second for the chunks.
    third: Any = list(doctored.episodes())[2].reopened(doctored.started)
    # The SDK would fail at the result of a task that it has not asked for.
    arrived = tuple(event for event in third.arrived if completed_task_id(event) != 12)
    third = replace(third, arrived=arrived)
    _, result = run_episode(orchestrator, doctored.started, third)
    with pytest.raises(NonDeterminismError, match=named):
        third.complete(result)
