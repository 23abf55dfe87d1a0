"""Drives an orchestrator through the real durable SDK, episode by episode, with no host and no storage.

It keeps the history and numbers tasks as the extension does: leaves of the action list depth-first, a retry's hidden
timer when its failure is processed, the repeated task when that timer fires. Timers of user code fire only by `expire`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

_STARTED_AT = datetime(2026, 3, 1, 10, tzinfo=timezone.utc)
_ACTIVITY_KINDS = {0, 1}
_CHILD_KINDS = {2, 3}
_RETRY_KINDS = {1, 3}
_TIMER_KIND = 5
_COMPOUND_KINDS = {11, 12}

Activity = Callable[[Any], Any]
Order = Callable[[list[int]], Sequence[int]]


@dataclass(frozen=True)
class Scheduled:
    """An open task: its action, and which attempt this is."""

    action: dict[str, Any]
    attempt: int = 1
    is_retry_timer: bool = False

    @property
    def input(self) -> Any:
        return json.loads(self.action["input"])


@dataclass
class Orchestration:
    """One instance: its history, its open tasks, and the result of the last episode.

    `timers` maps the ids of user code's timers that are neither fired nor canceled to their actions.
    """

    main: Callable[[str], str]
    raw_input: Any
    open: dict[int, Scheduled] = field(default_factory=dict)
    timers: dict[int, dict[str, Any]] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None
    custom_statuses: list[Any] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    _next_id: int = 0
    _leaves_seen: int = 0
    _timer_leaves: dict[int, int] = field(default_factory=dict)
    _episodes: int = 0

    def start(self) -> Orchestration:
        self._episode([self._event(0, Name="orchestrator", Version="", Input=None)])
        return self

    @property
    def is_finished(self) -> bool:
        return (self.failure is not None or self.result["isDone"]) and not self.open

    @property
    def output(self) -> Any:
        assert self.failure is None, self.failure
        return self.result["output"]

    def complete(self, *results: tuple[int, Any]) -> None:
        """Runs one episode in which the tasks complete together."""
        self._episode([self._completion(task_id, result) for task_id, result in results])

    def fail(self, task_id: int, reason: str, details: str = "{}") -> None:
        """Runs one episode in which the task fails; a task with retries gets its hidden timer."""
        task = self.open.pop(task_id)
        kind = 9 if task.action["actionType"] in _CHILD_KINDS else 6
        events = [self._event(kind, TaskScheduledId=task_id, Reason=reason, Details=details)]
        if task.action["actionType"] in _RETRY_KINDS:
            timer_id = self._open(Scheduled(task.action, task.attempt, is_retry_timer=True))
            events.append(self._event(10, EventId=timer_id, FireAt=self._now))
        self._episode(events)

    def fire(self, timer_id: int) -> None:
        """Runs one episode in which a retry's timer fires; the task is repeated while it has attempts left."""
        timer = self.open.pop(timer_id)
        events = [self._event(11, TimerId=timer_id, FireAt=self._now)]
        if timer.attempt < timer.action["retryOptions"]["maxNumberOfAttempts"]:
            repeated = self._open(Scheduled(timer.action, timer.attempt + 1))
            events.append(self._event(4, EventId=repeated, Name=timer.action["functionName"]))
        self._episode(events)

    def expire(self, timer_id: int) -> None:
        """Runs one episode in which a timer of user code fires."""
        self._episode([self._event(11, TimerId=timer_id, FireAt=self.timers.pop(timer_id)["fireAt"])])

    def run(self, activity: Activity, *, order: Order = sorted, together: int = 1) -> Orchestration:
        """Runs everything to the end, picking open tasks by `order`, up to `together` completions in one episode."""
        while self.open:
            picked = list(order(list(self.open)))[:together]
            completions: list[tuple[int, Any]] = []
            for task_id in picked:
                self._advance(task_id, activity, order, together, completions)
            if completions:
                self.complete(*completions)
        return self

    def _advance(
        self, task_id: int, activity: Activity, order: Order, together: int, completions: list[tuple[int, Any]]
    ) -> None:
        task = self.open[task_id]
        if task.is_retry_timer:
            self.fire(task_id)
        elif task.action["actionType"] in _CHILD_KINDS:
            child = Orchestration(self.main, task.action["input"]).start().run(activity, order=order, together=together)
            completions.append((task_id, child.output))
        else:
            try:
                completions.append((task_id, activity(task.input)))
            except Exception as error:
                self.fail(task_id, activity_failed(error))

    @property
    def _now(self) -> str:
        return (_STARTED_AT + timedelta(seconds=self._episodes)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _event(self, kind: int, **values: Any) -> dict[str, Any]:
        return {"EventId": -1, "EventType": kind, "IsPlayed": False, "Timestamp": self._now, **values}

    def _completion(self, task_id: int, result: Any) -> dict[str, Any]:
        kind = 8 if self.open.pop(task_id).action["actionType"] in _CHILD_KINDS else 5
        return self._event(kind, TaskScheduledId=task_id, Result=json.dumps(result))

    def _open(self, task: Scheduled) -> int:
        task_id, self._next_id = self._next_id, self._next_id + 1
        self.open[task_id] = task
        return task_id

    def _open_timer(self, position: int, action: dict[str, Any]) -> None:
        timer_id, self._next_id = self._next_id, self._next_id + 1
        self.timers[timer_id] = action
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
            kind = 4 if action["actionType"] in _ACTIVITY_KINDS else 7
            task_id = self._open(Scheduled(action))
            self.history.append(self._event(kind, EventId=task_id, Name=action["functionName"]))
        for timer_id in list(self.timers):
            if leaves[self._timer_leaves[timer_id]]["isCanceled"]:
                del self.timers[timer_id]
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
