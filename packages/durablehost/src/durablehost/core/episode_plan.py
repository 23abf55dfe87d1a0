"""Which episodes the admitted messages of one work item lead to, and in which order.

Two things are known only when the orchestrator has run: whether it awaits an external event, so that is a step of its
own, and whether the execution has ended, after which the remaining steps are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from durablehost.core.episode import End, terminated
from durablehost.core.history import MARKS, EventRaised, ExecutionSuspended, ExecutionTerminated, HistoryEvent, Mark
from durablehost.core.state import Admission, OrchestrationState
from durablehost.core.status import RuntimeStatus


@dataclass(frozen=True)
class FinishCutShort:
    """Run the rest of an episode of which a crash left only the first rows."""


@dataclass(frozen=True)
class EndAtOnce:
    """End the execution without running the orchestrator."""

    arrived: tuple[HistoryEvent, ...]
    end: End


@dataclass(frozen=True)
class Deliver:
    """Run one episode over events that arrived together."""

    arrived: tuple[HistoryEvent, ...]


@dataclass(frozen=True)
class DeliverAwaited:
    """Run episodes over the external events that are awaited, until none is; the others, by position, are kept."""

    raised: Mapping[int, EventRaised]


# A mark is only recorded: the orchestrator is not run for it.
Step = Union[FinishCutShort, EndAtOnce, Mark, Deliver, DeliverAwaited]  # noqa: UP007


@dataclass(frozen=True, kw_only=True)
class EpisodePlan:
    """Steps to take in order until the execution has ended.

    `kept` are the positions of messages to keep for a later work item. If the execution ends none is kept: they are for
    no later execution of the instance.
    """

    steps: tuple[Step, ...]
    kept: tuple[int, ...] = ()

    @property
    def raised(self) -> Mapping[int, EventRaised]:
        """The external events to deliver, by position."""
        return next((step.raised for step in self.steps if isinstance(step, DeliverAwaited)), {})


def plan_episodes(state: OrchestrationState, events: Sequence[HistoryEvent], admission: Admission) -> EpisodePlan:
    """Plans the episodes of a work item; `events` are those of its messages, by position.

    A suspended instance takes nothing but its resumption and its termination.
    """
    first: tuple[Step, ...] = (FinishCutShort(),) if state.is_episode_open else ()
    delivered = tuple(events[position] for position in admission.delivered)
    termination = next((event for event in delivered if isinstance(event, ExecutionTerminated)), None)
    if termination is not None:
        return EpisodePlan(steps=(*first, EndAtOnce(delivered, terminated(termination))))
    was_suspended = state.status is RuntimeStatus.SUSPENDED
    marks = _effective([events[position] for position in admission.marks], was_suspended)
    stays_suspended = was_suspended and len(marks) % 2 == 0
    if stays_suspended:
        return EpisodePlan(steps=marks, kept=(*admission.delivered, *admission.raised))
    deliveries: list[Step] = []
    if delivered or state.has_suspended_events:
        deliveries.append(Deliver(delivered))
    raised = {position: event for position in admission.raised if isinstance(event := events[position], EventRaised)}
    if raised:
        deliveries.append(DeliverAwaited(raised))
    rest = (*marks, *deliveries) if was_suspended else (*deliveries, *marks)
    return EpisodePlan(steps=(*first, *rest))


def _effective(marks: Sequence[HistoryEvent], is_suspended: bool) -> tuple[Mark, ...]:
    """The marks that change anything: suspensions and resumptions in turn."""
    effective: list[Mark] = []
    for mark in marks:
        if isinstance(mark, MARKS) and isinstance(mark, ExecutionSuspended) is not is_suspended:
            effective.append(mark)
            is_suspended = not is_suspended
    return tuple(effective)
