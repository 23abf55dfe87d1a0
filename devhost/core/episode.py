"""One turn of an orchestration: arrived events in, user code run over the whole history, one checkpoint out.

The rule of this file: it decides everything and does nothing. Running the function and storing the checkpoint are up to
whoever calls. Mirrors TaskOrchestrationDispatcher.OnProcessWorkItem and OutOfProcOrchestrationShim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from devhost.core.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallSubOrchestrator,
    OrchestratorResult,
    SignalEntity,
    WaitForExternalEvent,
)
from devhost.core.checkpoint import Checkpoint, InstanceUpdate
from devhost.core.entity_messages import sent_request
from devhost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerFired,
)
from devhost.core.ids import called_entity_problem, child_id_problem
from devhost.core.messages import TaskMessage
from devhost.core.replay import Replay
from devhost.core.rewind import rewound_count
from devhost.core.schedule import Scheduler
from devhost.core.sdk_errors import YIELD_ONLY_TASKS
from devhost.core.sorter import Stamps
from devhost.core.state import fold
from devhost.core.status import RuntimeStatus
from devhost.core.ticks import ticks_of

MAX_CUSTOM_STATUS_BYTES = 16 * 1024
NO_CUSTOM_STATUS = "null"
WAITS_FOR_NOTHING = (
    "The orchestrator waits for nothing that could ever come: it has yielded what is no task (such as the None that "
    f"set_custom_status returns), a signal, or a cancelled timer. {YIELD_ONLY_TASKS}"
)


@dataclass(frozen=True, kw_only=True)
class End:
    """How an execution ends. `result` is JSON text, or raw text where it did not complete; a parent gets `details`."""

    status: RuntimeStatus
    result: str | None
    details: str | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What an episode came to. `next_execution` is the start of the execution that goes on in place of this one."""

    checkpoint: Checkpoint
    next_execution: ExecutionStarted | None = None

    @property
    def has_ended(self) -> bool:
        return any(isinstance(event, ExecutionCompleted) for event in self.checkpoint.new_events)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One turn of the execution that `started` opened.

    `arrived` holds the events that open it, in the order of their delivery; None stands for the rest of an episode of
    which a crash left only the first rows in `history`. `states_start`: the record of the instance may not know yet
    that the execution has started. `carried_status` is the custom status of the execution that this one has just
    continued from, as JSON text; it counts where the first episode sets none.
    """

    started: ExecutionStarted
    history: tuple[HistoryEvent, ...]
    arrived: tuple[HistoryEvent, ...] | None
    now: datetime
    max_actions: int
    stores_inputs: bool = False
    default_version: str = ""
    states_start: bool = False
    carried_status: str | None = None

    @property
    def opened(self) -> tuple[HistoryEvent, ...]:
        """The mark of its beginning, then what arrived. It is not earlier than any timer that fires in it."""
        if self.arrived is None:
            return ()
        at = max([self.now, *(event.fire_at for event in self.arrived if isinstance(event, TimerFired))])
        return (OrchestratorStarted(timestamp=at), *(replace(event, is_played=False) for event in self.arrived))

    @property
    def events(self) -> tuple[HistoryEvent, ...]:
        """What the orchestrator function is to be run over."""
        return self.history + self.opened

    @cached_property
    def _raised(self) -> Counter[str]:
        """How many events have come under each name; an answer of an entity has the id of its request for a name."""
        return Counter(event.name for event in self.events if isinstance(event, EventRaised))

    def numberable(self, result: OrchestratorResult) -> Episode:
        """This episode with its events in an order in which its new work can be numbered.

        When they are in another order now, the function has to be run again over it.
        """
        replay = Replay(result.work)
        replay.follow(self.history)
        return self if self.arrived is None else replace(self, arrived=replay.retries_first(self.arrived))

    def complete(self, result: OrchestratorResult) -> Turn:
        """What comes of an episode whose function returned, waits, or raised an error of its own.

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
        return Turn(
            checkpoint=checkpoint,
            next_execution=scheduler.next_execution(continuation) if continuation else None,
        )

    def _schedule(self, replay: Replay, scheduler: Scheduler) -> Iterator[tuple[HistoryEvent, TaskMessage | None]]:
        """The event and the message for every new task. A child under the id of one that is awaited fails instead."""
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
        """The failure of a function that waits, where nothing that could wake it is open."""
        return None if self._awaits_answers(result) else failed(self.started.name, WAITS_FOR_NOTHING)

    def _awaits_answers(self, result: OrchestratorResult) -> bool:
        """Whether events or answers of entities are still to come."""
        calls = sum(isinstance(action, CallEntity) for action in result.actions)
        answers = sum(request_id in self._raised for request_id in fold(self.events).request_ids)
        return bool(self._awaited_names(result)) or calls > answers

    def end(self, end: End) -> Turn:
        """Ends the execution at once, whatever is still open."""
        next_id = max(fold(self.history).scheduled_ids, default=-1) + 1
        # What the record has from an earlier execution of the id is not this one's.
        custom_status = None if self.history else self.carried_status or NO_CUSTOM_STATUS
        return Turn(checkpoint=self._checkpoint([], [], end, next_id, custom_status))

    def mark(self) -> Turn:
        """Records a suspension or a resumption; the function is not run for it."""
        checkpoint = self._checkpoint([], [], None, 0, None)
        assert self.arrived is not None
        assert checkpoint.update is not None
        (event,) = self.arrived
        assert isinstance(event, (ExecutionSuspended, ExecutionResumed))
        status = RuntimeStatus.SUSPENDED if isinstance(event, ExecutionSuspended) else RuntimeStatus.RUNNING
        update = replace(checkpoint.update, runtime_status=status, output=event.reason or "")
        return Turn(checkpoint=replace(checkpoint, update=update))

    def awaits(self, event: EventRaised, result: OrchestratorResult) -> EventRaised | None:
        """The event as it may be delivered now, or None where its wait has not begun.

        The SDK would hand an event that comes before its wait to every later wait of that name, so such events are kept
        out of the history until there are more waits than events of the name. It compares names with regard to case.
        """
        spelled = [name for name in self._awaited_names(result) if name.lower() == event.name.lower()]
        if not spelled:
            return None
        return event if event.name in spelled else replace(event, name=spelled[-1])

    def _awaited_names(self, result: OrchestratorResult) -> list[str]:
        """The names of the waits that no event has answered yet, in order; the SDK compares them exactly."""
        raised = self._raised.copy()
        awaited = []
        for action in result.actions:
            if isinstance(action, WaitForExternalEvent):
                if raised[action.name] > 0:
                    raised[action.name] -= 1
                else:
                    awaited.append(action.name)
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
            messages += self._reply_to_parent(end)
        new_events.append(OrchestratorCompleted(timestamp=self.now))
        return Checkpoint(new_events=tuple(new_events), outbox=tuple(messages), update=self._update(end, custom_status))

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

    def _reply_to_parent(self, end: End) -> list[TaskMessage]:
        parent = self.started.parent_instance
        if parent is None:
            return []
        reply: HistoryEvent
        if end.status is RuntimeStatus.COMPLETED:
            reply = SubOrchestrationInstanceCompleted(
                timestamp=self.now, task_scheduled_id=parent.task_schedule_id, result=end.result
            )
        else:
            reply = SubOrchestrationInstanceFailed(
                timestamp=self.now,
                task_scheduled_id=parent.task_schedule_id,
                reason=end.result,
                details=end.details or end.result,
            )
        return [self._scheduler().message(reply, parent.orchestration_instance)]

    def _scheduler(self) -> Scheduler:
        episode = sum(isinstance(event, OrchestratorStarted) for event in self.events)
        return Scheduler(
            started=self.started,
            episode=episode,
            now=self.now,
            stores_inputs=self.stores_inputs,
            default_version=self.default_version,
            stamps=self._stamps(),
            rewound_count=rewound_count(self.history),
        )

    def _stamps(self) -> Stamps:
        """Requests to entities are stamped with the time of what led to them, not with the present.

        A turn that is repeated after a crash then sends the same requests again, and entities know them.
        """
        events = self.events
        opened_at = max((i for i, event in enumerate(events) if isinstance(event, OrchestratorStarted)), default=0)
        cause = events[min(opened_at + 1, len(events) - 1)]
        at = cause.fire_at if isinstance(cause, TimerFired) else cause.timestamp
        sent = (event for event in events if isinstance(event, EventSent))
        stamps = ((event.instance_id, request.timestamp) for event in sent if (request := sent_request(event.input)))
        return Stamps(ticks_of(at), stamps)

    def _over_limit(self, result: OrchestratorResult) -> str | None:
        size = len((result.custom_status or "").encode("utf-16-le", "surrogatepass"))
        if size > MAX_CUSTOM_STATUS_BYTES:
            return (
                "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. "
                f"The current payload size is {size / 1024:.1f} KB."
            )
        if len(result.actions) > self.max_actions:
            return f"Maximum amount of orchestration actions ({self.max_actions}) has been reached."
        return None

    def _call_problem(self, result: OrchestratorResult) -> str | None:
        """What the extension finds wrong with a call before it makes it."""
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
        """This instance and its parent: what lies further back is not known here."""
        parent = self.started.parent_instance
        known = [self.started.orchestration_instance, *([parent.orchestration_instance] if parent else [])]
        return [instance.instance_id for instance in known]


def failed(name: str, error: str) -> End:
    """The end of an execution whose orchestrator failed, in the words of the durable extension."""
    return End(
        status=RuntimeStatus.FAILED,
        result=f"Orchestrator function '{name}' failed: {error}",
        details=f"Message: {error}",
    )


def terminated(event: ExecutionTerminated) -> End:
    return End(status=RuntimeStatus.TERMINATED, result=event.input or "")


def _end_of(name: str, result: OrchestratorResult) -> End | None:
    if result.error is not None:
        return failed(name, result.error)
    if result.is_done:
        return End(status=RuntimeStatus.COMPLETED, result=result.output)
    return None


def _played(event: HistoryEvent) -> HistoryEvent:
    """As a real host stores it: what came from outside was played, the marks of the episode were not."""
    return event if isinstance(event, OrchestratorStarted) else replace(event, is_played=True)
