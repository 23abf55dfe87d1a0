"""One episode of an orchestration: arrived events in, user code run over the whole history, one checkpoint out.

The rule of this file: it decides everything and does no I/O. The caller runs the function and stores the checkpoint.
Mirrors TaskOrchestrationDispatcher.OnProcessWorkItem and OutOfProcOrchestrationShim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from durablehost.core.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallSubOrchestrator,
    OrchestratorResult,
    SignalEntity,
    WaitForExternalEvent,
)
from durablehost.core.checkpoint import Checkpoint, InstanceUpdate
from durablehost.core.entity_messages import sent_request
from durablehost.core.failure_texts import orchestrator_details
from durablehost.core.history import (
    MARKS,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerFired,
)
from durablehost.core.ids import called_entity_problem, child_id_problem
from durablehost.core.messages import TaskMessage
from durablehost.core.replay import Replay, RetryState, Task
from durablehost.core.rewind import rewound_count
from durablehost.core.rules import DEFAULT_RULES, Rules
from durablehost.core.schedule import Scheduler
from durablehost.core.sdk_errors import YIELD_ONLY_TASKS
from durablehost.core.sorter import Sent, Stamps
from durablehost.core.state import fold
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import ticks_of

MAX_CUSTOM_STATUS_BYTES = 16 * 1024
NO_CUSTOM_STATUS = "null"
_GO_ON = "Continued as new"
WAITS_FOR_NOTHING = (
    "The orchestrator waits for nothing that could ever come: it has yielded what is no task (such as the None that "
    f"set_custom_status returns), a signal, or a cancelled timer. {YIELD_ONLY_TASKS}"
)


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of an execution. `result` is JSON text, or raw text if it did not complete; a parent gets `details`."""

    status: RuntimeStatus
    result: str | None
    details: str | None = None


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """The outcome of an episode. `next_execution` is the start of the execution that this one continues as.

    `retries` are the open tasks that retry options repeat, by id; None if the function was not run. `left_open` are the
    open tasks of a function that has finished: the execution goes on until they have ended too.
    """

    checkpoint: Checkpoint
    next_execution: ExecutionStarted | None = None
    retries: Mapping[int, RetryState] | None = None
    left_open: tuple[Task, ...] = ()

    @property
    def has_ended(self) -> bool:
        return any(isinstance(event, ExecutionCompleted) for event in self.checkpoint.new_events)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of the execution that `started` opened.

    `arrived` are the events that open it, in the order of their delivery; it is None for the rest of an episode of
    which a crash left only the first rows in `history`. `states_start`: the record of the instance may not show yet
    that the execution has started. `carried_status` is the custom status of the execution that this one has just
    continued from, as JSON text; it applies if the first episode sets none. `request_time` is the time of its requests
    for activities, which no other attempt at this episode has; None: `now`.
    """

    started: ExecutionStarted
    history: tuple[HistoryEvent, ...]
    arrived: tuple[HistoryEvent, ...] | None
    now: datetime
    rules: Rules = DEFAULT_RULES
    states_start: bool = False
    carried_status: str | None = None
    request_time: datetime | None = None

    @property
    def opened(self) -> tuple[HistoryEvent, ...]:
        """The start of the episode, not earlier than any timer that fires in it, then what arrived."""
        if self.arrived is None:
            return ()
        at = max([self.now, *(event.fire_at for event in self.arrived if isinstance(event, TimerFired))])
        return (OrchestratorStarted(timestamp=at), *(replace(event, is_played=False) for event in self.arrived))

    @property
    def events(self) -> tuple[HistoryEvent, ...]:
        """The history that the orchestrator function is run over."""
        return self.history + self.opened

    @cached_property
    def _raised(self) -> Counter[str]:
        """Counts events by name; the result of an entity call has the id of its request for a name."""
        return Counter(event.name for event in self.events if isinstance(event, EventRaised))

    def numberable(self, result: OrchestratorResult) -> Episode:
        """This episode with its events in an order in which its new work can be numbered.

        If that changes their order, the function has to be run again.
        """
        replay = Replay(result.work)
        replay.follow(self.history)
        return self if self.arrived is None else replace(self, arrived=replay.retries_first(self.arrived))

    def complete(self, result: OrchestratorResult) -> EpisodeResult:
        """Completes an episode whose function returned, waits, or raised an error.

        An execution ends only when nothing that it scheduled is still open, as upstream: a timer that was not canceled
        keeps it running, and a failed fan-out waits for its other branches.

        Raises:
            NonDeterminismError: the function asks for other work than the history records.
        """
        if problem := self._over_limit(result) or self._call_problem(result):
            return self.end(failed(self.started.name, problem))
        replay = Replay(result.work)
        replay.follow(self.events)
        scheduler = self._scheduler()
        work = list(self._schedule(replay, scheduler))
        end = None if replay.open else _end_of(self.started.name, result) or self._end_of_no_wait(result)
        continuation = None if replay.open or result.error else result.continuation
        checkpoint = self._checkpoint(
            [event for event, _ in work],
            [message for _, message in work if message is not None],
            None if continuation else end,
            replay.next_id,
            # The function lists its whole state on each run: a status that it does not list is cleared.
            result.custom_status or self.carried_status or NO_CUSTOM_STATUS,
        )
        return EpisodeResult(
            checkpoint=checkpoint,
            next_execution=scheduler.next_execution(continuation) if continuation else None,
            retries=replay.retries(),
            left_open=tuple(replay.open.values()) if result.has_finished else (),
        )

    def _schedule(self, replay: Replay, scheduler: Scheduler) -> Iterator[tuple[HistoryEvent, TaskMessage | None]]:
        """The event and the message for every new task. A child fails if another awaited child has its id."""
        children = [event for event in self.events if isinstance(event, SubOrchestrationInstanceCreated)]
        for task_id, task in replay.number_new_work():
            event, message = scheduler.schedule(task_id, task)
            if isinstance(event, SubOrchestrationInstanceCreated):
                awaited = (each for each in children if each.event_id in replay.open and each.event_id != task_id)
                if any(each.instance_id == event.instance_id for each in awaited):
                    message = scheduler.refuse(event)
                children.append(event)
            yield event, message

    def _end_of_no_wait(self, result: OrchestratorResult) -> End | None:
        """The failure of a function that waits although nothing is open that could wake it."""
        return None if self._awaits_messages(result) else failed(self.started.name, WAITS_FOR_NOTHING)

    def _awaits_messages(self, result: OrchestratorResult) -> bool:
        """True if external events or results of entity calls are still to come."""
        calls = sum(isinstance(action, CallEntity) for action in result.actions)
        received = sum(request_id in self._raised for request_id in fold(self.events).request_ids)
        return bool(self.awaited_names(result)) or calls > received

    def end(self, end: End) -> EpisodeResult:
        """Ends the execution at once, whatever is still open."""
        next_id = max(fold(self.history).scheduled, default=-1) + 1
        # A custom status that the record has from an earlier execution of this id is cleared.
        custom_status = None if self.history else self.carried_status or NO_CUSTOM_STATUS
        return EpisodeResult(checkpoint=self._checkpoint([], [], end, next_id, custom_status))

    def put_off(self) -> EpisodeResult:
        """Begins the execution without running the function; a message to the instance opens the next episode."""
        wake = GenericEvent(timestamp=self.now, data=_GO_ON)
        target = replace(self.started.orchestration_instance, execution_id=None)
        message = self._scheduler().message(wake, target)
        return EpisodeResult(checkpoint=self._checkpoint([], [message], None, 0, self.carried_status))

    def mark(self) -> EpisodeResult:
        """Records a suspension or a resumption; the function is not run for it."""
        checkpoint = self._checkpoint([], [], None, 0, None)
        assert self.arrived is not None
        assert checkpoint.update is not None
        (event,) = self.arrived
        assert isinstance(event, MARKS)
        status = RuntimeStatus.SUSPENDED if isinstance(event, ExecutionSuspended) else RuntimeStatus.RUNNING
        update = replace(checkpoint.update, runtime_status=status, output=event.reason)
        return EpisodeResult(checkpoint=replace(checkpoint, update=update))

    def awaits(self, event: EventRaised, result: OrchestratorResult) -> bool:
        """Whether the event is to be delivered now.

        The SDK gives an event that comes before its wait to every later wait of that name, so such events are kept out
        of the history until there are more waits than events of the name.
        """
        return event.name in self.awaited_names(result)

    def awaited_in_other_case(self, name: str, result: OrchestratorResult) -> str | None:
        """An awaited name that differs from this one in case alone: the SDK takes it for another event."""
        awaited = (each for each in self.awaited_names(result) if each.lower() == name.lower())
        return next((each for each in awaited if each != name), None)

    def count_awaited(self, name: str, result: OrchestratorResult) -> int:
        """How many more waits for an event of this name there are than events of it in this episode's history."""
        waits = sum(isinstance(action, WaitForExternalEvent) and action.name == name for action in result.actions)
        return waits - self._raised[name]

    def awaited_names(self, result: OrchestratorResult) -> list[str]:
        """The names of the waits that no event has completed yet, in order."""
        waits = [action.name for action in result.actions if isinstance(action, WaitForExternalEvent)]
        if not waits:
            return []
        raised = self._raised.copy()
        awaited = []
        for name in waits:
            if raised[name] > 0:
                raised[name] -= 1
            else:
                awaited.append(name)
        return awaited

    def _checkpoint(
        self,
        scheduled: Sequence[HistoryEvent],
        outbox: Sequence[TaskMessage],
        end: End | None,
        next_id: int,
        custom_status: str | None,
    ) -> Checkpoint:
        new_events: list[HistoryEvent] = [_played(event) for event in self.opened]
        new_events += scheduled
        messages = list(outbox)
        if end is not None:
            new_events.append(
                ExecutionCompleted(
                    timestamp=self.now, event_id=next_id, orchestration_status=end.status, result=end.result
                )
            )
            messages += self._result_for_parent(end)
        new_events.append(OrchestratorCompleted(timestamp=self.now))
        return Checkpoint.of_episode(
            tuple(new_events),
            tuple(messages),
            self._update(end, custom_status),
            opening=tuple(new_events[: len(self.opened)]),
        )

    def _update(self, end: End | None, custom_status: str | None) -> InstanceUpdate:
        return InstanceUpdate(
            execution_id=self.started.orchestration_instance.execution_id or "",
            last_updated_at=self.now,
            custom_status=custom_status,
            started=self.started if self.states_start else None,
            runtime_status=end.status if end else RuntimeStatus.RUNNING,
            output=end.result if end else None,
            completed_at=self.now if end else None,
        )

    def _result_for_parent(self, end: End) -> list[TaskMessage]:
        parent = self.started.parent_instance
        if parent is None:
            return []
        event: HistoryEvent
        if end.status is RuntimeStatus.COMPLETED:
            event = SubOrchestrationInstanceCompleted(
                timestamp=self.now, task_scheduled_id=parent.task_schedule_id, result=end.result
            )
        else:
            event = SubOrchestrationInstanceFailed(
                timestamp=self.now,
                task_scheduled_id=parent.task_schedule_id,
                reason=end.result,
                details=end.details,
            )
        return [self._scheduler().message(event, parent.orchestration_instance)]

    def _scheduler(self) -> Scheduler:
        episode = sum(isinstance(event, OrchestratorStarted) for event in self.events)
        return Scheduler(
            started=self.started,
            episode=episode,
            now=self.now,
            request_time=self.request_time or self.now,
            rules=self.rules,
            stamps=self._stamps(),
            rewound_count=rewound_count(self.history),
        )

    def _stamps(self) -> Stamps:
        """Requests have the time of their episode as it is stored: real hosts make them again at each replay."""
        opened = (event.timestamp for event in reversed(self.events) if isinstance(event, OrchestratorStarted))
        sent = (event for event in self.events if isinstance(event, EventSent))
        stamps = (
            Sent(event.instance_id, request.timestamp, is_answered=request.id in self._raised)
            for event in sent
            if (request := sent_request(event.input))
        )
        return Stamps(ticks_of(next(opened, self.now)), stamps)

    def _over_limit(self, result: OrchestratorResult) -> str | None:
        size = len((result.custom_status or "").encode("utf-16-le", "surrogatepass"))
        if size > MAX_CUSTOM_STATUS_BYTES:
            return (
                "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. "
                f"The current payload size is {size // 1024} KB."
            )
        if len(result.actions) > self.rules.max_actions:
            return f"Maximum amount of orchestration actions ({self.rules.max_actions}) has been reached."
        return None

    def _call_problem(self, result: OrchestratorResult) -> str | None:
        """The first problem that the extension would find with a call before making it."""
        problems = map(self._problem_of, result.actions)
        return next((problem for problem in problems if problem), None)

    def _problem_of(self, action: Action) -> str | None:
        if isinstance(action, (CallEntity, SignalEntity)):
            return called_entity_problem(action.instance_id)
        if not isinstance(action, (CallActivity, CallSubOrchestrator)):
            return None
        if action.retry is not None and action.retry.is_longer_than_a_message_may_wait:
            return "The Azure Storage provider supports a maximum of 6 days for time-based delays"
        child_id = action.instance_id if isinstance(action, CallSubOrchestrator) else None
        return child_id_problem(child_id, self._ancestors()) if child_id else None

    def _ancestors(self) -> list[str]:
        """This instance and its parent; earlier ancestors are not known here."""
        parent = self.started.parent_instance
        known = [self.started.orchestration_instance, *([parent.orchestration_instance] if parent else [])]
        return [instance.instance_id for instance in known]


def failed(name: str, error: str, *, details: str | None = None) -> End:
    """The end of an execution whose orchestrator failed, in the words of the durable extension."""
    return End(
        status=RuntimeStatus.FAILED,
        result=f"Orchestrator function '{name}' failed: {error}",
        details=orchestrator_details(error) if details is None else details,
    )


def terminated(event: ExecutionTerminated) -> End:
    return End(status=RuntimeStatus.TERMINATED, result=event.input)


def _end_of(name: str, result: OrchestratorResult) -> End | None:
    if result.error is not None:
        return failed(name, result.error, details=orchestrator_details(result.error, result.stack))
    if result.is_done:
        return End(status=RuntimeStatus.COMPLETED, result=result.output)
    return None


def _played(event: HistoryEvent) -> HistoryEvent:
    """The event as a real host stores it: played if it came from outside, not played if it marks an episode."""
    return event if isinstance(event, OrchestratorStarted) else replace(event, is_played=True)
