"""Converts one piece of numbered work into the event that records it and the message that requests it.

Mirrors what TaskOrchestrationDispatcher does with the decisions of an orchestrator. The execution id of a child is
derived from its parent's execution id and its task id, so a start that is sent twice, because of a crash between
sending and recording it, is recognised as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from durablehost.core.actions import (
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNewAction,
    CreateTimer,
    SignalEntity,
)
from durablehost.core.entity_messages import OPERATION_EVENT, EntityRequest, request_id, request_to_text
from durablehost.core.failure_texts import orchestrator_details
from durablehost.core.history import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.ids import child_instance_id
from durablehost.core.json_text import compact
from durablehost.core.lineage import continued_execution_id, derived_execution_id
from durablehost.core.messages import TaskMessage
from durablehost.core.payload import wrap_activity_input, wrap_child_input, wrap_http_request
from durablehost.core.replay import Task, activity_name
from durablehost.core.rules import DEFAULT_RULES, Rules
from durablehost.core.sorter import Stamps
from durablehost.core.status import RuntimeStatus
from durablehost.core.ticks import NO_TIME
from durablehost.core.trace_context import own_context, stored_context, task_context, task_span_id
from durablehost.types import JsonObject


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Schedules the work of one episode of one execution.

    `now` is the time of the episode, `request_time` that of its requests for activities. `stamps` identify the requests
    to entities and keep them in order. `rewound_count` counts the events that rewinds have undone: it makes a child
    that is requested again under its old task id a new execution, so that its start is not dropped as a duplicate.
    """

    started: ExecutionStarted
    episode: int
    now: datetime
    request_time: datetime
    rules: Rules = DEFAULT_RULES
    stamps: Stamps = field(default_factory=lambda: Stamps(NO_TIME))
    rewound_count: int = 0

    @property
    def instance(self) -> OrchestrationInstance:
        return self.started.orchestration_instance

    def schedule(self, task_id: int, task: Task) -> tuple[HistoryEvent, TaskMessage | None]:
        """The event and the message for one task; a timer that was canceled before it was recorded has no message."""
        action = task.action
        if task.retry_of is not None:
            assert task.retry is not None
            return self._timer(task_id, self.now + timedelta(seconds=task.retry.delay_seconds(task.attempt)))
        if isinstance(action, CreateTimer):
            event, message = self._timer(task_id, action.fire_at)
            return event, None if action.is_canceled else message
        if isinstance(action, CallSubOrchestrator):
            child_id = action.instance_id or child_instance_id(self.instance.execution_id or "", task_id)
            version = self.rules.default_version if action.version is None else action.version
            return self._child(task_id, action.name, child_id, version, wrap_child_input(action.input))
        if isinstance(action, (CallEntity, SignalEntity)):
            return self._request(task_id, action)
        if isinstance(action, CallHttp):
            return self._activity(task_id, activity_name(action), wrap_http_request(action.request))
        return self._activity(task_id, activity_name(action), wrap_activity_input(action.input))

    def refuse(self, created: SubOrchestrationInstanceCreated) -> TaskMessage:
        """The message sent instead of the start of a child whose id is in use: the failure of its task."""
        problem = already_exists(created.instance_id, RuntimeStatus.RUNNING)
        failure = refused_child(created.name, created.event_id, problem, at=self.now)
        return self.message(failure, self.instance)

    def next_execution(self, continuation: ContinueAsNewAction) -> ExecutionStarted:
        """The start of the execution that this one continues as, under the same instance id."""
        execution_id = continued_execution_id(self.instance.execution_id)
        return replace(
            self.started,
            timestamp=self.now,
            orchestration_instance=replace(self.instance, execution_id=execution_id),
            input=wrap_child_input(continuation.input),
            is_played=False,
            generation=None,
        )

    def message(self, event: HistoryEvent, target: OrchestrationInstance) -> TaskMessage:
        return TaskMessage(event=event, target=target, sender=self.instance, episode=self.episode)

    def _timer(self, task_id: int, fire_at: datetime) -> tuple[HistoryEvent, TaskMessage]:
        created = TimerCreated(timestamp=self.now, event_id=task_id, fire_at=fire_at)
        fired = TimerFired(timestamp=self.now, timer_id=task_id, fire_at=fire_at)
        return created, self.message(fired, self.instance)

    def _activity(self, task_id: int, name: str, text: str) -> tuple[HistoryEvent, TaskMessage]:
        request = TaskScheduled(
            timestamp=self.request_time,
            event_id=task_id,
            name=name,
            input=text,
            parent_trace_context=self._trace_context(task_id),
        )
        recorded = request if self.rules.stores_inputs else replace(request, input=None)
        return recorded, replace(self.message(request, self.instance), request_time=self.request_time)

    def _request(self, task_id: int, action: CallEntity | SignalEntity) -> tuple[HistoryEvent, TaskMessage]:
        execution_id = self.instance.execution_id or ""
        number = self.stamps.count
        timestamp, predecessor = self.stamps.next(action.instance_id)
        request = EntityRequest(
            id=request_id(self.instance.instance_id, self.stamps.at, number),
            operation=action.operation,
            is_signal=isinstance(action, SignalEntity),
            input=None if action.input is None else compact(action.input),
            parent=self.instance.instance_id,
            parent_execution=execution_id,
            timestamp=timestamp,
            predecessor=predecessor,
        )
        text = request_to_text(request)
        sent = EventSent(
            timestamp=self.now,
            event_id=task_id,
            instance_id=action.instance_id,
            name=OPERATION_EVENT,
            input=text,
        )
        raised = EventRaised(
            timestamp=self.now,
            name=OPERATION_EVENT,
            input=text,
            parent_trace_context=self._trace_context(task_id),
        )
        target = OrchestrationInstance(instance_id=action.instance_id, execution_id=None)
        return sent, self.message(raised, target)

    def _child(
        self, task_id: int, name: str, child_id: str, version: str | None, text: str | None
    ) -> tuple[HistoryEvent, TaskMessage]:
        child = OrchestrationInstance(instance_id=child_id, execution_id=self._child_execution_id(task_id))
        created = SubOrchestrationInstanceCreated(
            timestamp=self.now,
            event_id=task_id,
            name=name,
            version=version,
            instance_id=child_id,
            input=text if self.rules.stores_inputs else None,
            client_span_id=self._client_span_id(task_id),
        )
        start = ExecutionStarted(
            timestamp=self.now,
            orchestration_instance=child,
            parent_instance=ParentInstance(
                name=self.started.name,
                orchestration_instance=self.instance,
                task_schedule_id=task_id,
                version=self.started.version,
            ),
            name=name,
            version=version,
            input=text,
            tags=self.started.tags,
            parent_trace_context=self._trace_context(task_id),
        )
        return created, self.message(start, child)

    def _child_execution_id(self, task_id: int) -> str:
        return derived_execution_id(self.instance.execution_id, str(task_id), self.rewound_count)

    def _trace_context(self, task_id: int) -> JsonObject | None:
        return stored_context(task_context(self.started, task_id, self.rewound_count))

    def _client_span_id(self, task_id: int) -> str | None:
        has_span = own_context(self.started, self.rewound_count) is not None
        return task_span_id(self.started, task_id, self.rewound_count) if has_span else None


def already_exists(instance_id: str, status: RuntimeStatus) -> str:
    """The error of a child whose id is in use."""
    return f"An Orchestration instance with the status {status.value} already exists under the ID '{instance_id}'."


def refused_child(name: str, task_id: int, problem: str, *, at: datetime) -> SubOrchestrationInstanceFailed:
    return SubOrchestrationInstanceFailed(
        timestamp=at,
        task_scheduled_id=task_id,
        reason=f"Orchestrator function '{name}' failed: {problem}",
        details=orchestrator_details(problem),
    )
