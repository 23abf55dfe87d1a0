"""Why an instance does not go on: facts in, one or two plain sentences out, with a reason for each.

Pure. The order of the reasons: what the user can act on first. What the facts do not show is left out or named as
unknown, never guessed. `core.open_work` reads the history, `reasons` chooses, `wait_reasons` and `host_reasons`
have the sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from durablehost.app.model import Function, FunctionApp, TriggerKind
from durablehost.core.history import HistoryEvent
from durablehost.core.open_work import OpenWork
from durablehost.core.state import OrchestrationState
from durablehost.engine.ports import InstanceRecord, Surroundings


class Kind(str, Enum):
    """The kinds of reasons; the values are part of the interface for scripts."""

    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    CANCELED = "canceled"
    NO_HOST = "no-host"
    HOSTS_UNKNOWN = "hosts-unknown"
    PARTITION = "partition"
    UNREADABLE = "unreadable"
    UNKNOWN_FUNCTION = "unknown-function"
    SCHEDULED_START = "scheduled-start"
    START = "start"
    SUSPENDED = "suspended"
    MESSAGES = "messages"
    EPISODE = "episode"
    FINISHED = "finished"
    ACTIVITIES = "activities"
    RETRY = "retry"
    SUB_ORCHESTRATIONS = "sub-orchestrations"
    TIMER = "timer"
    EXTERNAL_EVENT = "external-event"
    EVENT_NOT_AWAITED = "event-not-awaited"
    ENTITY_CALL = "entity-call"
    ENTITY_LOCK = "entity-lock"
    ENTITY = "entity"
    RECORD_BEHIND = "record-behind"
    MESSAGE_LOST = "message-lost"


@dataclass(frozen=True)
class Reason:
    """One sentence or two about one cause; `kind` is a value of `Kind`."""

    kind: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """Why an instance does not go on, or how it has ended. `text` is all reasons together, for people.

    `record` is the instance as it is explained, without its large payloads.
    """

    text: str
    reasons: tuple[Reason, ...]
    record: InstanceRecord


@dataclass(frozen=True, kw_only=True)
class AppFunctions:
    """The functions of an app by kind, by registered name in lower case."""

    orchestrators: Mapping[str, Function] = field(default_factory=dict)
    activities: Mapping[str, Function] = field(default_factory=dict)
    entities: Mapping[str, Function] = field(default_factory=dict)

    @staticmethod
    def of(app: FunctionApp) -> AppFunctions:
        return AppFunctions(
            orchestrators=app.of_kind(TriggerKind.ORCHESTRATION),
            activities=app.of_kind(TriggerKind.ACTIVITY),
            entities=app.of_kind(TriggerKind.ENTITY),
        )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that an explanation is made of.

    `history` is that of the current execution, and `state` its fold; `history_problem` says why it cannot be read.
    `is_settled`: the record did not change while the rest was read, so that the facts agree with each other. `awaited`
    are the external events that the orchestrator waits for, with the time since when; None: not known.
    `has_finished`: it has returned, failed or continued as new, and something that it has started is still open.
    `names_in_code` are those that its code writes down, as far as they matter. `work` is the open work in the history.
    `related` are the records of awaited children and entities, None for those that have none; others were not looked
    up. `app` None: it is not known which functions there are.
    """

    now: datetime
    record: InstanceRecord
    state: OrchestrationState
    work: OpenWork
    surroundings: Surroundings
    history: tuple[HistoryEvent, ...] = ()
    history_problem: str | None = None
    is_settled: bool = True
    awaited: Mapping[str, datetime] | None = None
    has_finished: bool = False
    names_in_code: tuple[str, ...] = ()
    related: Mapping[str, InstanceRecord | None] = field(default_factory=dict)
    app: AppFunctions | None = None


def reason(kind: Kind, text: str) -> Reason:
    return Reason(kind=kind.value, text=text)
