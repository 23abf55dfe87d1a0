"""The order of the episodes that the messages of one work item lead to."""

from __future__ import annotations

from itertools import compress, product

import pytest

from durablehost.core.episode import terminated
from durablehost.core.episode_plan import Deliver, DeliverAwaited, EndAtOnce, EpisodePlan, FinishCutShort, plan_episodes
from durablehost.core.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from durablehost.core.state import admit, fold
from packages.durablehost.tests.unit.core.examples import (
    AT,
    LATER,
    completed,
    first_episode,
    scheduled,
    started,
    to_me,
)

START = started()
RUNNING = first_episode(scheduled(0), scheduled(1))
CUT_SHORT = RUNNING[:-1]
SUSPENDED = (*RUNNING, ExecutionSuspended(timestamp=AT))
SUSPENDED_WITH_EVENTS = (*SUSPENDED, completed(1))
TERMINATE = ExecutionTerminated(timestamp=LATER, input="enough")
SUSPEND, SUSPEND_AGAIN = (ExecutionSuspended(timestamp=LATER, reason=reason) for reason in ("1", "2"))
RESUME, RESUME_AGAIN = (ExecutionResumed(timestamp=LATER, reason=reason) for reason in ("1", "2"))
GO, STOP = (EventRaised(timestamp=LATER, name=name) for name in ("Go", "Stop"))


def planned(history: tuple[HistoryEvent, ...], *events: HistoryEvent) -> EpisodePlan:
    state = fold(history)
    return plan_episodes(state, events, admit(state, [(to_me(event), 1) for event in events]))


def test_what_arrived_together_is_delivered_in_one_episode() -> None:
    assert planned((), START) == EpisodePlan(steps=(Deliver((START,)),))
    assert planned(RUNNING, completed(0), completed(1)) == EpisodePlan(steps=(Deliver((completed(0), completed(1))),))


def test_external_events_come_after_what_is_delivered_at_once() -> None:
    plan = planned(RUNNING, GO, completed(0), STOP)
    assert plan == EpisodePlan(steps=(Deliver((completed(0),)), DeliverAwaited({0: GO, 2: STOP})))


@pytest.mark.parametrize("events", [(), (completed(0),), (GO,), (SUSPEND,), (TERMINATE,)])
def test_an_episode_that_a_crash_cut_short_is_finished_first(events: tuple[HistoryEvent, ...]) -> None:
    assert planned(CUT_SHORT, *events).steps == (FinishCutShort(), *planned(RUNNING, *events).steps)


@pytest.mark.parametrize("events", [(START, TERMINATE), (TERMINATE, START)])
def test_a_termination_that_comes_with_the_start_ends_the_execution_before_its_first_run(
    events: tuple[HistoryEvent, ...],
) -> None:
    assert planned((), *events) == EpisodePlan(steps=(EndAtOnce((START, TERMINATE), terminated(TERMINATE)),))


@pytest.mark.parametrize("history", [RUNNING, SUSPENDED, SUSPENDED_WITH_EVENTS])
def test_after_a_termination_nothing_is_delivered_and_nothing_held(history: tuple[HistoryEvent, ...]) -> None:
    plan = planned(history, completed(0), SUSPEND, GO, TERMINATE, RESUME)
    assert plan == EpisodePlan(steps=(EndAtOnce((completed(0), TERMINATE), terminated(TERMINATE)),))


def test_a_suspension_is_recorded_after_what_came_with_it() -> None:
    plan = planned(RUNNING, SUSPEND, completed(0), GO)
    assert plan == EpisodePlan(steps=(Deliver((completed(0),)), DeliverAwaited({2: GO}), SUSPEND))


def test_marks_that_change_nothing_are_not_recorded() -> None:
    assert planned(RUNNING, RESUME, SUSPEND, SUSPEND_AGAIN, RESUME_AGAIN).steps == (SUSPEND, RESUME_AGAIN)
    assert planned(SUSPENDED, SUSPEND, RESUME, RESUME_AGAIN).steps == (RESUME,)


@pytest.mark.parametrize("history", [SUSPENDED, SUSPENDED_WITH_EVENTS])
@pytest.mark.parametrize(("marks", "recorded"), [((), ()), ((SUSPEND,), ()), ((RESUME, SUSPEND), (RESUME, SUSPEND))])
def test_an_instance_that_stays_suspended_holds_all_else(
    history: tuple[HistoryEvent, ...], marks: tuple[HistoryEvent, ...], recorded: tuple[HistoryEvent, ...]
) -> None:
    assert planned(history, GO, completed(0), *marks) == EpisodePlan(steps=recorded, kept=(1, 0))  # type: ignore[arg-type]


def test_a_resumption_is_recorded_before_what_waited_for_it() -> None:
    plan = planned(SUSPENDED, GO, completed(0), RESUME)
    assert plan == EpisodePlan(steps=(RESUME, Deliver((completed(0),)), DeliverAwaited({0: GO})))
    assert planned(SUSPENDED, RESUME) == EpisodePlan(steps=(RESUME,))


def test_events_recorded_during_a_suspension_are_run_over_after_the_resumption() -> None:
    assert planned(SUSPENDED_WITH_EVENTS, RESUME) == EpisodePlan(steps=(RESUME, Deliver(())))


@pytest.mark.parametrize("history", [(), RUNNING, CUT_SHORT, SUSPENDED, SUSPENDED_WITH_EVENTS])
def test_in_any_combination_each_admitted_message_is_used_once_or_held(history: tuple[HistoryEvent, ...]) -> None:
    state = fold(history)
    arriving = (completed(0), GO, STOP, SUSPEND, RESUME, TERMINATE)
    for chosen in product([False, True], repeat=len(arriving)):
        events = [*([] if history else [START]), *compress(arriving, chosen)]
        admission = admit(state, [(to_me(event), 1) for event in events])
        plan = plan_episodes(state, events, admission)
        used: list[HistoryEvent] = [events[position] for position in plan.kept]
        for number, step in enumerate(plan.steps):
            if isinstance(step, FinishCutShort):
                assert number == 0
            elif isinstance(step, (Deliver, EndAtOnce)):
                used += step.arrived
            elif isinstance(step, DeliverAwaited):
                used += step.raised.values()
        assert (FinishCutShort() in plan.steps) is (history == CUT_SHORT)
        if TERMINATE in events:
            assert isinstance(plan.steps[-1], EndAtOnce)
            assert used == [events[position] for position in admission.delivered]
        else:
            admitted = sorted((*admission.delivered, *admission.raised))
            assert sorted(map(events.index, used)) == admitted
