"""The end, the suspension and the resumption of an entity, where a client asks for them as for an orchestration.

An entity that was terminated keeps its state and takes nothing until it is purged, as in the original. One that is
suspended takes nothing until it is resumed; the original runs what comes meanwhile, and does not store the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from devhost.core.checkpoint import Checkpoint
from devhost.core.episode import Episode, terminated
from devhost.core.history import (
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from devhost.core.state import OrchestrationState
from devhost.core.status import RuntimeStatus
from devhost.engine.orchestrations import MARKS, restated
from devhost.engine.ports import InstanceRecord, OrchestrationWorkItem


def wanted_status(state: OrchestrationState, events: Sequence[HistoryEvent]) -> RuntimeStatus:
    """The status that an entity is to have, now that these have arrived; nothing ends what does not exist yet."""
    if state.started is None or state.status.is_terminal:
        return state.status
    if any(isinstance(event, ExecutionTerminated) for event in events):
        return RuntimeStatus.TERMINATED
    last = next((event for event in reversed(events) if isinstance(event, MARKS)), None)
    if last is None:
        return state.status
    return RuntimeStatus.SUSPENDED if isinstance(last, ExecutionSuspended) else RuntimeStatus.RUNNING


def status_checkpoint(
    item: OrchestrationWorkItem, started: ExecutionStarted, events: Sequence[HistoryEvent], now: datetime
) -> Checkpoint:
    """Records the last of the events that change the status: the end before any other."""
    ends = [event for event in events if isinstance(event, ExecutionTerminated)]
    marks = [event for event in events if isinstance(event, (ExecutionSuspended, ExecutionResumed))]
    event = (ends or marks)[-1]
    episode = Episode(started=started, history=item.history, arrived=(event,), now=now, max_actions=0)
    turn = episode.end(terminated(event)) if isinstance(event, ExecutionTerminated) else episode.mark()
    return turn.checkpoint


def repair(record: InstanceRecord | None, state: OrchestrationState, history: tuple[HistoryEvent, ...]) -> Checkpoint:
    """What a crash may have left to do: a record that lags behind its history."""
    if record is None or state.started is None or record.execution_id != state.execution_id:
        return Checkpoint()
    if record.runtime_status is state.status:
        return Checkpoint()
    return Checkpoint(update=restated(state.started, state.status, history))
