"""The history of an execution: one frozen value per fact, append only.

Mirrors DurableTask.Core.History. `history_json` and the storage package define how queue messages, table rows and the
SDK spell these values. Every event type that a real host may have stored is here, so that its history can be read even
if durablehost never writes such an event.

The members of each class stand in the order in which the original writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Union

from durablehost.core.status import RuntimeStatus
from durablehost.types import JsonObject, JsonValue

UNNUMBERED = -1


@dataclass(frozen=True, kw_only=True)
class OrchestrationInstance:
    """An execution of an instance; without an execution id: whichever execution is current."""

    instance_id: str
    execution_id: str | None


@dataclass(frozen=True, kw_only=True)
class ParentInstance:
    """The orchestration that waits for this one, and the task id it waits under."""

    name: str | None
    orchestration_instance: OrchestrationInstance
    task_schedule_id: int
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryEvent:
    """The members that all events share.

    `event_id` is the task id on the events that schedule something, `UNNUMBERED` on all others. `timestamp` is aware
    and in UTC.
    """

    type_number: ClassVar[int]

    timestamp: datetime
    event_id: int = UNNUMBERED
    is_played: bool = False

    @property
    def type_name(self) -> str:
        """The name of this type in tables and in the HTTP API."""
        return type(self).__name__


@dataclass(frozen=True, kw_only=True)
class ExecutionStarted(HistoryEvent):
    """Opens an execution. `input` is JSON text; `generation` counts the starts of this id and is None for children."""

    type_number = 0

    orchestration_instance: OrchestrationInstance
    parent_instance: ParentInstance | None = None
    name: str
    version: str | None = None
    input: str | None = None
    tags: JsonObject | None = None
    correlation: str | None = None
    parent_trace_context: JsonObject | None = None
    scheduled_start_time: datetime | None = None
    generation: int | None = None
    generate_new_trace: bool = False


@dataclass(frozen=True, kw_only=True)
class ExecutionCompleted(HistoryEvent):
    """Ends an execution. `result` is JSON text, or raw text for failures and terminations."""

    type_number = 1

    orchestration_status: RuntimeStatus
    result: str | None = None
    failure_details: JsonValue = None


@dataclass(frozen=True, kw_only=True)
class ExecutionTerminated(HistoryEvent):
    """A client has terminated the execution; `input` is the reason as raw text."""

    type_number = 3

    input: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskScheduled(HistoryEvent):
    type_number = 4

    name: str
    version: str | None = ""
    input: str | None = None
    parent_trace_context: JsonObject | None = None
    tags: JsonObject | None = None


@dataclass(frozen=True, kw_only=True)
class TaskCompleted(HistoryEvent):
    type_number = 5

    task_scheduled_id: int
    result: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskFailed(HistoryEvent):
    type_number = 6

    task_scheduled_id: int
    reason: str | None = None
    details: str | None = None
    failure_details: JsonValue = None


@dataclass(frozen=True, kw_only=True)
class SubOrchestrationInstanceCreated(HistoryEvent):
    type_number = 7

    name: str
    version: str | None = None
    instance_id: str
    input: str | None = None
    client_span_id: str | None = None
    tags: JsonObject | None = None


@dataclass(frozen=True, kw_only=True)
class SubOrchestrationInstanceCompleted(HistoryEvent):
    type_number = 8

    task_scheduled_id: int
    result: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubOrchestrationInstanceFailed(HistoryEvent):
    type_number = 9

    task_scheduled_id: int
    reason: str | None = None
    details: str | None = None
    failure_details: JsonValue = None


@dataclass(frozen=True, kw_only=True)
class TimerCreated(HistoryEvent):
    type_number = 10

    fire_at: datetime


@dataclass(frozen=True, kw_only=True)
class TimerFired(HistoryEvent):
    type_number = 11

    timer_id: int
    fire_at: datetime


@dataclass(frozen=True, kw_only=True)
class OrchestratorStarted(HistoryEvent):
    """Opens an episode; its timestamp is the orchestrator's current time until the next one."""

    type_number = 12


@dataclass(frozen=True, kw_only=True)
class OrchestratorCompleted(HistoryEvent):
    """Closes an episode."""

    type_number = 13


@dataclass(frozen=True, kw_only=True)
class EventSent(HistoryEvent):
    type_number = 14

    instance_id: str
    name: str
    input: str | None = None


@dataclass(frozen=True, kw_only=True)
class EventRaised(HistoryEvent):
    type_number = 15

    name: str
    input: str | None = None
    parent_trace_context: JsonObject | None = None


@dataclass(frozen=True, kw_only=True)
class ContinueAsNew(HistoryEvent):
    type_number = 16

    orchestration_status: RuntimeStatus
    result: str | None = None
    failure_details: JsonValue = None


@dataclass(frozen=True, kw_only=True)
class GenericEvent(HistoryEvent):
    """Ignored by the SDK; written and sent by a rewind.

    One without `data` replaces an event that was undone. Its event id, if any, is that of a task to be scheduled again
    under the same id.
    """

    type_number = 17

    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryState(HistoryEvent):
    type_number = 18

    state: JsonValue = None


@dataclass(frozen=True, kw_only=True)
class ExecutionSuspended(HistoryEvent):
    type_number = 19

    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExecutionResumed(HistoryEvent):
    type_number = 20

    reason: str | None = None


Mark = Union[ExecutionSuspended, ExecutionResumed]  # noqa: UP007
MARKS = (ExecutionSuspended, ExecutionResumed)


@dataclass(frozen=True, kw_only=True)
class ExecutionRewound(HistoryEvent):
    type_number = 21

    reason: str | None = None
    parent_execution_id: str | None = None
    instance_id: str | None = None
    parent_trace_context: JsonObject | None = None


EVENT_TYPES: tuple[type[HistoryEvent], ...] = (
    ExecutionStarted,
    ExecutionCompleted,
    ExecutionTerminated,
    TaskScheduled,
    TaskCompleted,
    TaskFailed,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TimerCreated,
    TimerFired,
    OrchestratorStarted,
    OrchestratorCompleted,
    EventSent,
    EventRaised,
    ContinueAsNew,
    GenericEvent,
    HistoryState,
    ExecutionSuspended,
    ExecutionResumed,
    ExecutionRewound,
)
