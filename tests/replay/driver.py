"""Drives an orchestrator through the real durable SDK, episode by episode, with no host and no storage.

It keeps the history and numbers tasks as the extension does: leaves of the action list depth-first. Calls with retry
options are not known to it. Of the timers, `run` fires those that are due within `PAUSE`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from shared_code.fan_out import PAUSE

_STARTED_AT = datetime(2026, 3, 1, 10, tzinfo=timezone.utc)
_ACTIVITY_KIND = 0
_CHILD_KIND = 2
_TIMER_KIND = 5
_COMPOUND_KINDS = {11, 12}

Activity = Callable[[Any], Any]
Order = Callable[[list[int]], Sequence[int]]


@dataclass(frozen=True)
class Scheduled:
    """An open task."""

    action: dict[str, Any]

    @property
    def input(self) -> Any:
        return json.loads(self.action["input"])


@dataclass
class Orchestration:
    """One instance: its history, its open tasks, and the result of the last episode.

    `timers` maps the ids of the timers that are neither fired nor canceled to their actions; `pauses` are those of them
    that were due within `PAUSE` when they were created.
    """

    main: Callable[[str], str]
    raw_input: Any
    open: dict[int, Scheduled] = field(default_factory=dict)
    timers: dict[int, dict[str, Any]] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None
    custom_statuses: list[Any] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    pauses: set[int] = field(default_factory=set)
    _next_id: int = 0
    _leaves_seen: int = 0
    _timer_leaves: dict[int, int] = field(default_factory=dict)
    _episodes: int = 0

    def start(self) -> Orchestration:
        self._episode([self._event(0, Name="orchestrator", Version="", Input=None)])
        return self

    @property
    def output(self) -> Any:
        assert self.failure is None, self.failure
        return self.result["output"]

    def complete(self, *results: tuple[int, Any]) -> None:
        """Runs one episode in which the tasks complete together."""
        self._episode([self._completion(task_id, result) for task_id, result in results])

    def fail(self, task_id: int, reason: str, details: str = "{}") -> None:
        """Runs one episode in which the task fails."""
        task = self.open.pop(task_id)
        kind = 9 if task.action["actionType"] == _CHILD_KIND else 6
        self._episode([self._event(kind, TaskScheduledId=task_id, Reason=reason, Details=details)])

    def expire(self, timer_id: int) -> None:
        """Runs one episode in which a timer fires."""
        self.pauses.discard(timer_id)
        self._episode([self._event(11, TimerId=timer_id, FireAt=self.timers.pop(timer_id)["fireAt"])])

    def run(self, activity: Activity, *, order: Order = sorted, together: int = 1) -> Orchestration:
        """Runs everything to the end."""
        while self.open or self.pauses:
            self.step(activity, order=order, together=together)
        return self

    def step(self, activity: Activity, *, order: Order = sorted, together: int = 1) -> None:
        """Picks tasks and pauses by `order`, and runs up to `together` completions in one episode."""
        completions: list[tuple[int, Any]] = []
        for task_id in list(order([*self.open, *self.pauses]))[:together]:
            self._advance(task_id, activity, order, together, completions)
        if completions:
            self.complete(*completions)

    def _advance(
        self, task_id: int, activity: Activity, order: Order, together: int, completions: list[tuple[int, Any]]
    ) -> None:
        if task_id in self.pauses:
            self.expire(task_id)
            return
        task = self.open.get(task_id)
        if task is None:
            return  # a pause that was canceled
        if task.action["actionType"] == _CHILD_KIND:
            child = Orchestration(self.main, task.action["input"]).start().run(activity, order=order, together=together)
            completions.append((task_id, child.output))
        else:
            try:
                completions.append((task_id, activity(task.input)))
            except Exception as error:
                self.fail(task_id, activity_failed(error))

    @property
    def _clock(self) -> datetime:
        return _STARTED_AT + timedelta(seconds=self._episodes)

    @property
    def _now(self) -> str:
        return self._clock.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _event(self, kind: int, **values: Any) -> dict[str, Any]:
        return {"EventId": -1, "EventType": kind, "IsPlayed": False, "Timestamp": self._now, **values}

    def _completion(self, task_id: int, result: Any) -> dict[str, Any]:
        kind = 8 if self.open.pop(task_id).action["actionType"] == _CHILD_KIND else 5
        return self._event(kind, TaskScheduledId=task_id, Result=json.dumps(result))

    def _open(self, task: Scheduled) -> int:
        task_id, self._next_id = self._next_id, self._next_id + 1
        self.open[task_id] = task
        return task_id

    def _open_timer(self, position: int, action: dict[str, Any]) -> None:
        timer_id, self._next_id = self._next_id, self._next_id + 1
        self.timers[timer_id] = action
        if datetime.fromisoformat(action["fireAt"].replace("Z", "+00:00")) - self._clock <= PAUSE:
            self.pauses.add(timer_id)
        self._timer_leaves[timer_id] = position
        self.history.append(self._event(10, EventId=timer_id, FireAt=action["fireAt"]))

    def _episode(self, events: list[dict[str, Any]]) -> None:
        self._episodes += 1
        self.history += [self._event(12), *events]
        self.result, self.failure = self._invoke()
        self.custom_statuses.append(self.result.get("customStatus"))
        leaves = _leaves(self.result["actions"][0])
        for position, action in enumerate(leaves[self._leaves_seen :], self._leaves_seen):
            if action["actionType"] == _TIMER_KIND:
                self._open_timer(position, action)
                continue
            kind = 4 if action["actionType"] == _ACTIVITY_KIND else 7
            task_id = self._open(Scheduled(action))
            self.history.append(self._event(kind, EventId=task_id, Name=action["functionName"]))
        for timer_id in list(self.timers):
            if leaves[self._timer_leaves[timer_id]]["isCanceled"]:
                del self.timers[timer_id]
                self.pauses.discard(timer_id)
        self._leaves_seen = len(leaves)
        self.history.append(self._event(13))

    def _invoke(self) -> tuple[dict[str, Any], str | None]:
        payload = {
            "history": self.history,
            "input": self.raw_input,
            "instanceId": "abc",
            "isReplaying": False,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
        }
        try:
            return json.loads(self.main(json.dumps(payload))), None
        except Exception as error:
            failure, label, state = str(error).partition("\n\n$OutOfProcData$:")
            assert label, failure
            return json.loads(state), failure


def activity_failed(error: Exception) -> str:
    """The reason that the extension gives for `error` raised by an activity."""
    return f"Activity function 'process_chunk_activity' failed:  {type(error).__name__}: {error}"


def _leaves(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    leaves = []
    for action in actions:
        leaves += _leaves(action["compoundActions"]) if action["actionType"] in _COMPOUND_KINDS else [action]
    return leaves
