"""The history of an execution: one frozen value per fact, append only.

Mirrors DurableTask.Core.History. The values know nothing of how a queue message, a table row or the SDK spells them:
that is in `history_json` and in the storage package. Every event type that a real host may have stored is here, so that
its history can be read back even where devhost itself never writes such an event.

The members of each class stand in the order in which the original writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from devhost.core.status import RuntimeStatus
from devhost.types import JsonObject, JsonValue

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
    """What all events share.

    `event_id` is the task id on the events that schedule something, `UNNUMBERED` on all others. `timestamp` is aware
    and in UTC.
    """

    type_number: ClassVar[int]

    timestamp: datetime
    event_id: int = UNNUMBERED
    is_played: bool = False

    @property
    def type_name(self) -> str:
        """The name by which tables and the HTTP API call this type."""
        return type(self).__name__


@dataclass(frozen=True, kw_only=True)
class ExecutionStarted(HistoryEvent):
    """Opens an execution. `input` is JSON text; `generation` counts the starts of this id and is None for children."""

    type_number = 0

    orchestration_instance: OrchestrationInstance
    parent_instance: ParentInstance | None = None
    name: str
    version: str | None = ""
    input: str | None = None
    tags: JsonObject | None = None
    correlation: str | None = None
    parent_trace_context: JsonObject | None = None
    scheduled_start_time: datetime | None = None
    generation: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExecutionCompleted(HistoryEvent):
    """Ends an execution. `result` is JSON text, or raw text for failures and terminations."""

    type_number = 1

    orchestration_status: RuntimeStatus
    result: str | None = None
    failure_details: JsonValue = None


@dataclass(frozen=True, kw_only=True)
class ExecutionTerminated(HistoryEvent):
    """Somebody asked for the end of the execution; `input` is the reason as raw text."""

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
    version: str | None = ""
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
    """Means nothing to the SDK; a rewind writes and sends it.

    One without `data` takes the place of an event that was undone. Its event id, if it has one, is that of a task which
    has to be scheduled again under that number.
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
