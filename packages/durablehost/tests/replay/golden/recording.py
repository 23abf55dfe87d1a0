"""Recorded histories: the stored events of a finished instance, and the actions of the SDK in each of its episodes.

Rule of this file: nothing is invented. The events are rows of a real hub, with the inputs of the tasks; only paths
of the machine that recorded them are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from durablehost.core.actions import OrchestratorResult, parse_failure, parse_result
from durablehost.core.episode import Episode
from durablehost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.history_json import event_from_json, event_to_json
from durablehost.core.payload import orchestrator_payload
from durablehost.core.rules import Rules

FOLDER = Path(__file__).parent

_MADE_BY_THE_EPISODE = (
    OrchestratorStarted,
    TaskScheduled,
    TimerCreated,
    SubOrchestrationInstanceCreated,
    ExecutionCompleted,
    OrchestratorCompleted,
)


@dataclass(frozen=True, kw_only=True)
class RecordedResult:
    """The result of the orchestrator function in one episode: all actions since the beginning, and its status."""

    actions: Sequence[Any]
    custom_status: Any
    output: Any = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecordedEpisode:
    """One stored episode: the history before it, and the events that it stored, arrived ones included."""

    history: tuple[HistoryEvent, ...]
    stored: tuple[HistoryEvent, ...]

    def reopened(self, started: ExecutionStarted) -> Episode:
        """Returns the episode before it was stored; its time is that of its last event."""
        arrived = (event for event in self.stored if not isinstance(event, _MADE_BY_THE_EPISODE))
        return Episode(
            started=started,
            history=self.history,
            arrived=tuple(replace(event, is_played=False) for event in arrived),
            now=self.stored[-1].timestamp,
            rules=Rules(stores_inputs=True),
        )


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One instance from its first event to its last."""

    events: tuple[HistoryEvent, ...]
    results: tuple[RecordedResult, ...] = ()

    @property
    def started(self) -> ExecutionStarted:
        return next(event for event in self.events if isinstance(event, ExecutionStarted))

    @property
    def completed(self) -> ExecutionCompleted:
        return next(event for event in self.events if isinstance(event, ExecutionCompleted))

    def episodes(self) -> Iterator[RecordedEpisode]:
        begins = [n for n, event in enumerate(self.events) if isinstance(event, OrchestratorStarted)]
        for begin, end in zip(begins, [*begins[1:], len(self.events)], strict=True):
            yield RecordedEpisode(history=self.events[:begin], stored=self.events[begin:end])


def run_episode(
    main: Callable[[str], str], started: ExecutionStarted, episode: Episode
) -> tuple[RecordedResult, OrchestratorResult]:
    """Runs the orchestrator function over one episode, by the SDK's own entry point."""
    try:
        text = main("".join(orchestrator_payload(started, episode.events)))
        result = parse_result(text)
    except Exception as error:
        text = str(error).partition("$OutOfProcData$:")[2]
        labelled = parse_failure(str(error))
        if labelled is None:
            raise
        result = labelled
    state = json.loads(text)
    recorded = RecordedResult(
        actions=list(chain.from_iterable(state["actions"])),
        custom_status=state.get("customStatus"),
        output=state.get("output"),
        error=state.get("error"),
    )
    return recorded, result


def load(name: str) -> Recording:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    results = (
        RecordedResult(
            actions=document["actions"][: recorded["actions"]],
            custom_status=recorded["customStatus"],
            output=recorded["output"],
            error=recorded["error"],
        )
        for recorded in document["results"]
    )
    return Recording(events=tuple(map(event_from_json, document["events"])), results=tuple(results))


def save(name: str, recording: Recording, *, scrub: Callable[[str], str]) -> None:
    """Writes each event, action and result on a line of its own, for readable diffs. The list of actions only grows."""
    lines = {
        "events": [event_to_json(event) for event in recording.events],
        "actions": recording.results[-1].actions,
        "results": [
            {
                "actions": len(recorded.actions),
                "customStatus": recorded.custom_status,
                "output": recorded.output,
                "error": recorded.error,
            }
            for recorded in recording.results
        ],
    }
    members = (f'"{member}": [\n{_lines(values)}\n]' for member, values in lines.items())
    text = "{\n" + ",\n".join(members) + "\n}\n"
    (FOLDER / f"{name}.json").write_text(scrub(text), "utf-8")


def _lines(values: Sequence[Any]) -> str:
    return ",\n".join(json.dumps(value) for value in values)
