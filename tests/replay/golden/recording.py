"""Recorded histories: what a hub held of a finished instance, and what the SDK asked for in each turn of it.

The rule of this file: nothing is made up. The events are rows of a real hub, with the inputs of the tasks; only paths
of the machine that recorded them are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from devhost.core.actions import OrchestratorResult, parse_failure, parse_result
from devhost.core.episode import Episode
from devhost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from devhost.core.history_json import event_from_json, event_to_json
from devhost.core.payload import orchestrator_payload

FOLDER = Path(__file__).parent
MAX_ACTIONS = 100_000

_MADE_BY_THE_EPISODE = (
    OrchestratorStarted,
    TaskScheduled,
    TimerCreated,
    SubOrchestrationInstanceCreated,
    ExecutionCompleted,
    OrchestratorCompleted,
)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the orchestrator function answered in one episode: the actions since the beginning, and its status."""

    actions: Sequence[Any]
    custom_status: Any
    output: Any = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecordedEpisode:
    """One episode as the hub holds it: what came before, what arrived, and all that was stored of it."""

    history: tuple[HistoryEvent, ...]
    stored: tuple[HistoryEvent, ...]

    def reopened(self, started: ExecutionStarted) -> Episode:
        """The episode as it was before it was stored; its time is that of its last event."""
        arrived = (event for event in self.stored if not isinstance(event, _MADE_BY_THE_EPISODE))
        return Episode(
            started=started,
            history=self.history,
            arrived=tuple(replace(event, is_played=False) for event in arrived),
            now=self.stored[-1].timestamp,
            max_actions=MAX_ACTIONS,
            stores_inputs=True,
        )


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One instance from its first event to its last."""

    events: tuple[HistoryEvent, ...]
    turns: tuple[Turn, ...] = ()

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


def take_turn(
    main: Callable[[str], str], started: ExecutionStarted, episode: Episode
) -> tuple[Turn, OrchestratorResult]:
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
    turn = Turn(
        actions=list(chain.from_iterable(state["actions"])),
        custom_status=state.get("customStatus"),
        output=state.get("output"),
        error=state.get("error"),
    )
    return turn, result


def load(name: str) -> Recording:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    turns = (
        Turn(
            actions=document["actions"][: turn["actions"]],
            custom_status=turn["customStatus"],
            output=turn["output"],
            error=turn["error"],
        )
        for turn in document["turns"]
    )
    return Recording(events=tuple(map(event_from_json, document["events"])), turns=tuple(turns))


def save(name: str, recording: Recording, *, scrub: Callable[[str], str]) -> None:
    """One event, action and turn a line, so that a difference can be read. The list of actions only ever grows."""
    lines = {
        "events": [event_to_json(event) for event in recording.events],
        "actions": recording.turns[-1].actions,
        "turns": [
            {
                "actions": len(turn.actions),
                "customStatus": turn.custom_status,
                "output": turn.output,
                "error": turn.error,
            }
            for turn in recording.turns
        ],
    }
    members = (f'"{member}": [\n{_lines(values)}\n]' for member, values in lines.items())
    text = "{\n" + ",\n".join(members) + "\n}\n"
    (FOLDER / f"{name}.json").write_text(scrub(text), "utf-8")


def _lines(values: Sequence[Any]) -> str:
    return ",\n".join(json.dumps(value) for value in values)
