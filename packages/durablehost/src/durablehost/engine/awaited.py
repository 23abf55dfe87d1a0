"""What orchestrators of this process wait for and no history records: external events, and attempts by retry options.

Known from the latest run of each orchestrator, and only as long as no other host has advanced the instance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from durablehost.core.replay import RetryState

# The oldest ones are forgotten.
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True)
class _Waits:
    """`event_count` is the length of the history that the orchestrator was run over, with the events it led to.

    `has_finished`: the orchestrator waits for nothing more, but something that it has started is still open.
    """

    execution_id: str | None
    event_count: int
    since: Mapping[str, datetime]
    retries: Mapping[int, RetryState] = field(default_factory=dict)
    has_finished: bool = False


class AwaitedEvents:
    """The awaited events by instance, with the time since when each is known to be awaited, and the open attempts."""

    def __init__(self) -> None:
        self._waits: OrderedDict[str, _Waits] = OrderedDict()

    def note(
        self,
        instance_id: str,
        execution_id: str | None,
        event_count: int,
        names: Sequence[str],
        at: datetime,
        *,
        retries: Mapping[int, RetryState],
        has_finished: bool = False,
    ) -> None:
        """Remembers the names that an orchestrator waits for after an episode at this time, and its attempts."""
        known = self._waits.pop(instance_id, None)
        before = known.since if known and known.execution_id == execution_id else {}
        since = {name: before.get(name, at) for name in names}
        self._waits[instance_id] = _Waits(
            execution_id=execution_id,
            event_count=event_count,
            since=since,
            retries=retries,
            has_finished=has_finished,
        )
        if len(self._waits) > _MOST_REMEMBERED:
            self._waits.popitem(last=False)

    def carry_over(self, instance_id: str, execution_id: str | None, event_count: int, later_count: int) -> None:
        """Keeps what is known after an episode in which the orchestrator was not run, such as a suspension."""
        known = self._waits.get(instance_id)
        if known and (known.execution_id, known.event_count) == (execution_id, event_count):
            self._waits[instance_id] = replace(known, event_count=later_count)

    def of(self, instance_id: str, execution_id: str | None, event_count: int) -> Mapping[str, datetime] | None:
        """The awaited names and their times; None if they are not known for a history of this length."""
        known = self._known(instance_id, execution_id, event_count)
        return known.since if known else None

    def retries_of(self, instance_id: str, execution_id: str | None, event_count: int) -> Mapping[int, RetryState]:
        """The open tasks that retry options repeat, by id; empty if not known for a history of this length."""
        known = self._known(instance_id, execution_id, event_count)
        return known.retries if known else {}

    def has_finished(self, instance_id: str, execution_id: str | None, event_count: int) -> bool:
        """True if the orchestrator is known to have finished over a history of this length, with work still open."""
        known = self._known(instance_id, execution_id, event_count)
        return known is not None and known.has_finished

    def _known(self, instance_id: str, execution_id: str | None, event_count: int) -> _Waits | None:
        known = self._waits.get(instance_id)
        is_current = known is not None and (known.execution_id, known.event_count) == (execution_id, event_count)
        return known if is_current else None
