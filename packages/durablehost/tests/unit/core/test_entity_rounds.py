"""Which messages to an entity are processed together, after a crash that may have cut an episode short."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from durablehost.core.entity_messages import reminder_name
from durablehost.core.entity_rounds import Round, Rounds, rounds_of
from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
)
from packages.durablehost.tests.unit.core.examples import AT

ENTITY = OrchestrationInstance(instance_id="@counter@one", execution_id="x1")
STORED: tuple[HistoryEvent, ...] = (
    OrchestratorStarted(timestamp=AT),
    ExecutionStarted(timestamp=AT, orchestration_instance=ENTITY, name="@counter@one", input="{}"),
    OrchestratorCompleted(timestamp=AT),
)
A, B, C = (EventRaised(timestamp=AT, name="op", input=text) for text in ("a", "b", "c"))
REMINDER = EventRaised(timestamp=AT, name=reminder_name(AT), input="null")
LATER = AT + timedelta(seconds=1)
OPENED = OrchestratorStarted(timestamp=LATER)


def test_all_new_events_are_one_round() -> None:
    assert rounds_of(STORED, [A, B]) == Rounds(stored=(), new=(A, B))


def test_each_episode_that_was_cut_short_is_a_round_of_its_own() -> None:
    history = (*STORED, OPENED, B, A, OPENED, C)
    assert rounds_of(history, []) == Rounds(stored=(Round(LATER, (B, A)), Round(LATER, (C,))), new=())


def test_a_stored_event_that_is_delivered_again_is_not_new() -> None:
    later = replace(A, timestamp=AT + timedelta(milliseconds=1))
    rounds = rounds_of((*STORED, OPENED, B, A), [A, C, B, later])
    assert rounds == Rounds(stored=(Round(LATER, (B, A)),), new=(C, later))


def test_what_began_a_new_entity_is_a_round() -> None:
    first, start, _ = STORED
    assert rounds_of((first, start, A), [A]) == Rounds(stored=(Round(AT, (A,)),), new=())


def test_other_events_belong_to_no_round() -> None:
    assert rounds_of(STORED, [ExecutionSuspended(timestamp=AT, reason="lunch")]).is_empty


def test_reminders_come_last() -> None:
    assert rounds_of(STORED, [REMINDER, A]).new == (A, REMINDER)


def test_an_entity_that_was_purged_gets_no_reminder() -> None:
    assert rounds_of((), [REMINDER]).is_empty
    assert rounds_of((), [REMINDER, A]).new == (A,)
