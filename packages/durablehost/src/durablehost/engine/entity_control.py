"""Terminates, suspends and resumes entities for clients that treat them as orchestrations.

A terminated entity keeps its state and accepts nothing until it is purged, as in the original. A suspended one accepts
nothing until it is resumed; the original runs what arrives meanwhile, and does not store the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from durablehost.core.checkpoint import Checkpoint
from durablehost.core.episode import Episode, terminated
from durablehost.core.history import MARKS, ExecutionStarted, ExecutionSuspended, ExecutionTerminated, HistoryEvent
from durablehost.core.state import OrchestrationState, restated
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import InstanceRecord, OrchestrationWorkItem


def wanted_status(state: OrchestrationState, events: Sequence[HistoryEvent]) -> RuntimeStatus:
    """The status of an entity after these events; an entity that does not exist yet cannot be ended."""
    if state.started is None or state.status.is_finished:
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
    """Records a termination or, if there is none, the last suspension or resumption."""
    ends = [event for event in events if isinstance(event, ExecutionTerminated)]
    marks = [event for event in events if isinstance(event, MARKS)]
    event = (ends or marks)[-1]
    episode = Episode(started=started, history=item.history, arrived=(event,), now=now)
    outcome = episode.end(terminated(event)) if isinstance(event, ExecutionTerminated) else episode.mark()
    return outcome.checkpoint


def repair(record: InstanceRecord | None, state: OrchestrationState, history: tuple[HistoryEvent, ...]) -> Checkpoint:
    """Rewrites a record that a crash left behind its history."""
    if record is None or state.started is None or record.execution_id != state.execution_id:
        return Checkpoint()
    if record.runtime_status is state.status:
        return Checkpoint()
    return Checkpoint(update=restated(state, history))
