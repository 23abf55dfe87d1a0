"""Divides what has arrived for an entity into rounds. Each is processed to its end before the next one is received.

Before an entity answers its callers, the round is stored. If a crash follows, the round is repeated as it was stored:
its operations run in the same order, over the same state, so they have the same results. The original receives whatever
has arrived by then, in any order: there a caller may keep a result that no longer agrees with the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from durablehost.core.entity_messages import is_reminder
from durablehost.core.history import EventRaised, HistoryEvent, OrchestratorStarted
from durablehost.core.state import raised_key


@dataclass(frozen=True)
class Rounds:
    """`stored` are the rounds that a crash cut short; `new` is what has arrived since."""

    stored: tuple[tuple[EventRaised, ...], ...]
    new: tuple[EventRaised, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.stored or self.new)


def rounds_of(history: Sequence[HistoryEvent], events: Iterable[HistoryEvent]) -> Rounds:
    """The rounds in the history of an entity, and one of those events of its messages that are in none of them."""
    stored: list[list[EventRaised]] = [[]]
    for event in history:
        if isinstance(event, OrchestratorStarted):
            stored.append([])
        elif isinstance(event, EventRaised):
            stored[-1].append(event)
    known = {raised_key(event) for each in stored for event in each}
    new = (event for event in events if isinstance(event, EventRaised) and raised_key(event) not in known)
    # Reminders come last: what they end the wait for may have arrived with them.
    in_order = sorted(new, key=lambda event: is_reminder(event.name))
    return Rounds(stored=tuple(tuple(each) for each in stored if each), new=tuple(in_order))
