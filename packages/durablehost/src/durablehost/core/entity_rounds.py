"""Divides what has arrived for an entity into rounds. Each is processed to its end before the next one is received.

Before an entity answers its callers, the round is stored. If a crash follows, the round is repeated as it was stored:
its operations run in the same order, over the same state, and what was not due then is put off again. So they have the
same results. The original receives whatever has arrived by then, in any order: there a caller may keep a result that no
longer agrees with the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from durablehost.core.entity_messages import is_reminder
from durablehost.core.history import EventRaised, ExecutionStarted, HistoryEvent
from durablehost.core.state import episodes_of, raised_key


@dataclass(frozen=True)
class Round:
    """What an episode has received that a crash cut short; `at` is the time of that episode."""

    at: datetime
    events: tuple[EventRaised, ...]


@dataclass(frozen=True)
class Rounds:
    """`stored` are the rounds that a crash cut short; `new` is what has arrived since."""

    stored: tuple[Round, ...]
    new: tuple[EventRaised, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.stored or self.new)


def rounds_of(history: Sequence[HistoryEvent], events: Iterable[HistoryEvent]) -> Rounds:
    """The rounds in the history of an entity, and one of those events of its messages that are in none of them.

    An entity that does not exist gets no reminders: nothing waits, and they must not create one that was purged.
    """
    exists = any(isinstance(event, ExecutionStarted) for event in history)
    stored = [Round(each[0].timestamp, tuple(_raised(each))) for each in episodes_of(history)]
    known = {raised_key(event) for each in stored for event in each.events}
    arrived = (event for event in _raised(events) if exists or not is_reminder(event.name))
    new = (event for event in arrived if raised_key(event) not in known)
    # Reminders come last: what they end the wait for may have arrived with them.
    in_order = sorted(new, key=lambda event: is_reminder(event.name))
    return Rounds(stored=tuple(each for each in stored if each.events), new=tuple(in_order))


def _raised(events: Iterable[HistoryEvent]) -> Iterator[EventRaised]:
    return (event for event in events if isinstance(event, EventRaised))
