"""The events that a rewind undoes, and how a replay counts tasks over the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from durablehost.core.actions import ContinueAsNewAction
from durablehost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    GenericEvent,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerCreated,
    TimerFired,
)
from durablehost.core.lineage import descends
from durablehost.core.replay import Replay
from durablehost.core.rewind import awaited_children, plan_rewind, rewound_count
from durablehost.core.schedule import Scheduler
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.unit.core.examples import (
    AT,
    LATER,
    ME,
    RETRY,
    completed,
    failure,
    first_episode,
    scheduled,
    started,
    waits,
)

FAILED = ExecutionCompleted(timestamp=LATER, event_id=9, orchestration_status=RuntimeStatus.FAILED)
CREATED = SubOrchestrationInstanceCreated(timestamp=AT, event_id=1, name="Child", instance_id="e1:1")
EPISODE = OrchestratorStarted(timestamp=LATER)


def timer(task_id: int, *, seconds: float = 5) -> TimerCreated:
    return TimerCreated(timestamp=AT, event_id=task_id, fire_at=AT + timedelta(seconds=seconds))


def fired(task_id: int) -> TimerFired:
    return TimerFired(timestamp=LATER, timer_id=task_id, fire_at=AT)


def rewound(*history: HistoryEvent) -> tuple[HistoryEvent, ...]:
    plan = plan_rewind(history)
    assert plan.problem is None
    return tuple(plan.replaced.get(index, event) for index, event in enumerate(history))


def shape(history: tuple[HistoryEvent, ...]) -> list[str]:
    """The events after the two that open the history; undone ones by the id that they keep."""
    return [f"undone {e.event_id}" if isinstance(e, GenericEvent) else e.type_name for e in history[2:]]


def test_a_failure_its_request_and_the_end_are_undone() -> None:
    history = rewound(*first_episode(scheduled(0), scheduled(1)), EPISODE, failure(0), completed(1), FAILED)
    assert shape(history) == [
        "undone 0",
        "TaskScheduled",
        "OrchestratorCompleted",
        "OrchestratorStarted",
        "undone -1",
        "TaskCompleted",
        "undone -1",
    ]


def test_work_scheduled_after_the_failure_is_undone_with_its_result_and_its_id() -> None:
    history = rewound(*first_episode(scheduled(0)), EPISODE, failure(0), scheduled(1, "B"), completed(1), FAILED)
    assert shape(history)[3:] == ["undone -1", "undone -1", "undone -1", "undone -1"]


def test_a_failure_that_a_retry_made_good_stays() -> None:
    recovered = [
        EPISODE,
        failure(0),
        timer(1),
        EPISODE,
        fired(1),
        scheduled(2),
        EPISODE,
        completed(2),
        scheduled(3, "B"),
    ]
    history = rewound(*first_episode(scheduled(0)), *recovered, EPISODE, failure(3), FAILED)
    assert history[4:12] == tuple(recovered[:8])
    assert shape(history)[10:] == ["undone 3", "OrchestratorStarted", "undone -1", "undone -1"]


def test_a_timer_that_is_due_at_once_leads_to_no_retry() -> None:
    """The timer follows the last attempt; the orchestrator itself calls the same activity again."""
    given_up = [EPISODE, failure(0), timer(1, seconds=0), EPISODE, fired(1), scheduled(2), EPISODE, completed(2)]
    assert shape(rewound(*first_episode(scheduled(0)), *given_up, FAILED))[0] == "undone 0"


def test_a_chain_of_attempts_is_undone_from_its_first_one() -> None:
    attempts = [
        failure(0),
        timer(1),
        EPISODE,
        fired(1),
        scheduled(2),
        EPISODE,
        failure(2),
        timer(3, seconds=0),
        fired(3),
    ]
    history = rewound(*first_episode(scheduled(0)), EPISODE, *attempts, FAILED)
    assert rewound_count(history) == 9
    assert [e.event_id for e in history if isinstance(e, GenericEvent)] == [0, -1, -1, -1, -1, -1, -1, -1, -1]


def test_if_retries_made_good_every_failure_all_of_them_are_undone() -> None:
    recovered = [EPISODE, failure(0), timer(1), EPISODE, fired(1), scheduled(2), EPISODE, completed(2)]
    assert shape(rewound(*first_episode(scheduled(0)), *recovered, FAILED))[0] == "undone 0"


def test_if_nothing_failed_only_the_end_and_open_work_are_undone() -> None:
    history = rewound(*first_episode(scheduled(0), scheduled(1, "B")), EPISODE, completed(0), FAILED)
    assert shape(history)[:2] == ["TaskScheduled", "undone 1"]
    assert shape(history)[-2:] == ["TaskCompleted", "undone -1"]


def test_a_failed_child_is_awaited_again_unless_it_starts_anew() -> None:
    gone = SubOrchestrationInstanceFailed(timestamp=LATER, task_scheduled_id=1)
    history = (*first_episode(scheduled(0), CREATED), EPISODE, completed(0), gone, FAILED)
    plan = plan_rewind(history)
    (child,) = plan.children
    assert (child.index, child.instance_id, child.task_id) == (3, "e1:1", 1)
    assert sorted(plan.replaced) == [7, 8]
    anew = plan.starting_anew(child, history[child.index])
    assert anew.children == ()
    assert anew.replaced[3].event_id == 1
    assert awaited_children(rewound(*history)) == plan.children


def test_rewinding_in_two_parts_has_the_same_outcome() -> None:
    history = (*first_episode(scheduled(0), scheduled(1)), EPISODE, failure(0), failure(1), FAILED)
    whole = rewound(*history)
    plan = plan_rewind(history)
    for applied in range(len(plan.replaced)):
        last_first = sorted(plan.replaced, key=lambda i: (i == len(history) - 1, -i))[:applied]
        part = tuple(plan.replaced[i] if i in last_first else event for i, event in enumerate(history))
        assert rewound(*part) == whole


def test_several_events_of_one_name_prevent_a_rewind_if_one_came_after_the_failure() -> None:
    raised = EventRaised(timestamp=LATER, name="Go")
    history = (*first_episode(scheduled(0)), EPISODE, failure(0), raised, FAILED)
    assert plan_rewind(history).problem is None
    again = replace(raised, name="GO")
    assert "named 'Go'" in str(plan_rewind((*first_episode(scheduled(0)), again, failure(0), raised, FAILED)).problem)


def numbered(replay: Replay) -> list[tuple[int, str]]:
    return [(task_id, getattr(task.action, "name", "?")) for task_id, task in replay.number_new_work()]


def test_undone_work_is_requested_again_under_its_old_id() -> None:
    replay = Replay(waits("A", "B", "C").work)
    replay.follow(rewound(*first_episode(scheduled(0), scheduled(1, "B")), EPISODE, failure(0), completed(1), FAILED))
    assert numbered(replay) == [(0, "A"), (2, "C")]


def test_undone_work_that_is_recorded_again_is_not_requested_again() -> None:
    past = rewound(*first_episode(scheduled(0), scheduled(1, "B")), EPISODE, failure(0), FAILED)
    replay = Replay(waits("A", "B", "C").work)
    replay.follow((*past, EPISODE, scheduled(0), scheduled(2, "C"), completed(0)))
    assert numbered(replay) == [(1, "B")]
    assert sorted(replay.open) == [1, 2]


def test_the_undone_timer_of_a_retry_gets_its_old_id_before_later_work() -> None:
    """B fails for good while A waits for its second attempt: that timer is scheduled again, as task 2."""
    first = first_episode(scheduled(0), scheduled(1, "B"))
    second_attempt = [EPISODE, fired(2), scheduled(3), EPISODE, completed(3)]
    history = rewound(*first, EPISODE, failure(0), timer(2), EPISODE, failure(1), *second_attempt, FAILED)
    replay = Replay(waits("A", "B", "C", retry=RETRY).work)
    replay.follow(history)
    kinds = [(task_id, task.retry_of is not None) for task_id, task in replay.number_new_work()]
    assert kinds == [(1, False), (2, True), (3, False)]


def test_a_request_to_an_entity_is_not_sent_again_unless_it_followed_from_what_is_undone() -> None:
    before, after = (
        EventSent(timestamp=AT, event_id=number, instance_id="@counter@one", name="op", input="{}") for number in (1, 2)
    )
    history = rewound(*first_episode(scheduled(0), before), EPISODE, failure(0), after, FAILED)
    assert shape(history) == [
        "undone 0",
        "EventSent",
        "OrchestratorCompleted",
        "OrchestratorStarted",
        "undone -1",
        "undone -1",
        "undone -1",
    ]


def test_a_child_that_is_requested_again_is_a_new_execution_of_the_same_instance() -> None:
    scheduler = Scheduler(started=started(), episode=1, now=LATER, request_time=LATER)
    again = replace(scheduler, rewound_count=3)
    first, second = (each._child(1, "Child", "e1:1", "", None)[1].target for each in (scheduler, again))
    assert first.instance_id == second.instance_id
    assert first.execution_id != second.execution_id


def test_an_execution_that_was_rewound_is_the_ancestor_of_the_one_that_it_continues_as() -> None:
    scheduler = Scheduler(started=started(), episode=1, now=LATER, request_time=LATER, rewound_count=3)
    following = scheduler.next_execution(ContinueAsNewAction(input=None))
    assert descends(following.orchestration_instance.execution_id, ME.execution_id)
