"""The explanation of each kind of waiting that the engine knows, from facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from durablehost.app.model import FunctionApp, FunctionError
from durablehost.core.actions import HTTP_ACTIVITY
from durablehost.core.entity_messages import EntityRequest, request_to_text
from durablehost.core.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionSuspended,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.ids import EntityId
from durablehost.core.open_work import open_work
from durablehost.core.replay import RetryState
from durablehost.core.state import fold
from durablehost.core.status import RuntimeStatus
from durablehost.engine.explanation import AppFunctions, Explanation, Facts, Kind
from durablehost.engine.partitions import Lease
from durablehost.engine.ports import HeldHere, InstanceRecord, PeekedMessage, QueueView, Surroundings
from durablehost.engine.reasons import explain, explain_end
from packages.durablehost.tests.unit.core.examples import AT, first_episode, started
from packages.durablehost.tests.unit.engine.scripted import function

NOW = AT + timedelta(seconds=27)
CONTROL, WORK_ITEMS = "hub-control-02", "hub-workitems"
APP = AppFunctions.of(
    FunctionApp(
        root=Path(),
        functions=(
            function("Orch", "orchestrationTrigger"),
            function("A", "activityTrigger"),
            function("counter", "entityTrigger"),
        ),
        errors=(FunctionError(name="Broken", message="no such binding."),),
    )
)


def at(seconds: float) -> datetime:
    """So many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def lease(number: int = 2, owner: str | None = "X", ends_in: float = 20, **members: Any) -> Lease:
    return Lease(
        partition=f"hub-control-{number:02}",
        version="1",
        current_owner=owner,
        expires_at=at(ends_in) if owner else None,
        last_renewal=at(ends_in - 30) if owner else None,
        **members,
    )


def peeked(event: HistoryEvent, dequeue_count: int = 0) -> PeekedMessage:
    return PeekedMessage(event_type=event.type_name, event=event, dequeue_count=dequeue_count)


def surroundings(
    *leases: Lease,
    control: QueueView | None = None,
    work_items: QueueView | None = None,
    ended: frozenset[str] = frozenset(),
) -> Surroundings:
    return Surroundings(
        control=control or QueueView(name=CONTROL, total=1),
        work_items=work_items or QueueView(name=WORK_ITEMS, total=1),
        leases=leases or (lease(),),
        ended_owners=ended,
        own_id="me",
        control_visibility_seconds=30,
    )


def control(*visible: PeekedMessage, **members: Any) -> QueueView:
    return replace(QueueView(name=CONTROL, visible=visible, total=len(visible)), **members)


def work_items(*visible: PeekedMessage, **members: Any) -> QueueView:
    return replace(QueueView(name=WORK_ITEMS, visible=visible, total=len(visible)), **members)


def record(status: RuntimeStatus = RuntimeStatus.RUNNING, **members: Any) -> InstanceRecord:
    known: dict[str, Any] = {
        "instance_id": "me",
        "execution_id": "e1",
        "name": "Orch",
        "version": None,
        "runtime_status": status,
        "created_at": AT,
        "last_updated_at": AT,
    }
    return InstanceRecord(**(known | members))


def explained(
    *history: HistoryEvent,
    of: InstanceRecord | None = None,
    around: Surroundings | None = None,
    retries: Mapping[int, RetryState] | None = None,
    **members: Any,
) -> Explanation:
    return explain(
        Facts(
            now=NOW,
            record=of or record(),
            state=fold(history),
            work=open_work(history, retries),
            surroundings=around or surroundings(),
            history=history,
            **members,
        )
    )


def kinds(explanation: Explanation) -> list[str]:
    return [reason.kind for reason in explanation.reasons]


def episode(*events: HistoryEvent) -> tuple[HistoryEvent, ...]:
    return (OrchestratorStarted(timestamp=AT), *events, OrchestratorCompleted(timestamp=AT))


def activity(task_id: int, name: str = "A", text: str | None = None) -> TaskScheduled:
    return TaskScheduled(timestamp=AT, event_id=task_id, name=name, input=text or f"[{task_id}]")


def done(task_id: int) -> TaskCompleted:
    return TaskCompleted(timestamp=AT, task_scheduled_id=task_id, result="1")


def broken(task_id: int) -> TaskFailed:
    return TaskFailed(timestamp=AT, task_scheduled_id=task_id, reason="ValueError: empty\n  more")


def pending(**members: Any) -> InstanceRecord:
    return record(RuntimeStatus.PENDING, **members)


# How it has ended


@pytest.mark.parametrize(
    ("status", "output", "text", "kind"),
    [
        (RuntimeStatus.COMPLETED, '"anything"', "Completed at 10:00:12 UTC, 12 s after its start.", Kind.COMPLETED),
        (
            RuntimeStatus.FAILED,
            "Orchestrator function 'Orch' failed: no file\nTraceback",
            "Failed at 10:00:12 UTC: Orchestrator function 'Orch' failed: no file.",
            Kind.FAILED,
        ),
        (
            RuntimeStatus.TERMINATED,
            "no longer needed",
            "Terminated at 10:00:12 UTC: no longer needed.",
            Kind.TERMINATED,
        ),
        (RuntimeStatus.TERMINATED, None, "Terminated at 10:00:12 UTC.", Kind.TERMINATED),
        (RuntimeStatus.CANCELED, '"why"', "Canceled at 10:00:12 UTC: why.", Kind.CANCELED),
    ],
)
def test_a_finished_instance_is_explained_by_its_end(
    status: RuntimeStatus, output: str | None, text: str, kind: Kind
) -> None:
    ended = record(status, output=output, completed_at=AT + timedelta(seconds=12))
    explanation = explain_end(ended, NOW)
    assert (explanation.text, kinds(explanation)) == (text, [kind.value])


# Before it begins


def test_a_start_in_the_future_is_named_with_its_time() -> None:
    explanation = explained(of=pending(scheduled_start=at(4)))
    assert explanation.text == "It is scheduled to start at 10:00:31 UTC (in 4 s)."
    assert kinds(explanation) == ["scheduled-start"]


def test_a_visible_start_waits_for_the_host_that_listens() -> None:
    explanation = explained(of=pending(), around=surroundings(control=control(peeked(started()))))
    assert explanation.text == "Its start message is in the queue 'hub-control-02', to which host 'X' listens."
    assert kinds(explanation) == ["start"]


def test_a_start_that_was_delivered_in_vain_says_so() -> None:
    around = surroundings(control=control(peeked(started(), dequeue_count=3)))
    assert explained(of=pending(), around=around).text.endswith("; it was delivered 3 times before, without effect.")


def test_a_start_without_any_host_names_the_absence_of_hosts_first() -> None:
    around = surroundings(lease(owner=None), control=control(peeked(started())))
    explanation = explained(of=pending(), around=around)
    assert explanation.text == ("No host runs on this task hub. Its start message is in the queue 'hub-control-02'.")
    assert kinds(explanation) == ["no-host", "start"]


def test_an_invisible_start_of_a_killed_host_is_visible_again_at_a_known_time_at_the_latest() -> None:
    around = surroundings(lease(ends_in=24), ended=frozenset({"X"}), control=control(total=1))
    explanation = explained(of=pending(), around=around)
    assert explanation.text == (
        "No host runs on this task hub: host 'X' has ended without releasing its partitions. "
        "Its start message is invisible until 10:01:01 UTC (in 34 s) at the latest, if host 'X' had received it, "
        "which has ended."
    )


def test_an_invisible_start_may_be_in_the_hands_of_a_living_host() -> None:
    text = explained(of=pending(), around=surroundings(lease(ends_in=20), control=control(total=1))).text
    assert text == (
        "Its start message is invisible: a host has received it, perhaps host 'X', which leases its partition until "
        "10:00:47 UTC, or it is delayed after a failed delivery."
    )


def test_an_invisible_start_that_this_host_does_not_have_is_not_said_to_be_with_it() -> None:
    text = explained(of=pending(), around=surroundings(lease(owner="me"), control=control(total=1))).text
    assert text == (
        "Its start message is invisible: another host has received it earlier, or its delivery to this host has "
        "failed, which the log of this host would show."
    )


@pytest.mark.parametrize(
    ("own", "ended", "receiver"),
    [
        (lease(owner=None), "", "a host has received it"),
        (lease(ends_in=-100), "", "a host has received it, perhaps host 'X', whose lease has ended"),
        (lease(ends_in=-100), "X", "a host has received it, perhaps host 'X', which has ended"),
    ],
)
def test_an_invisible_start_without_a_known_receiver_has_no_time(own: Lease, ended: str, receiver: str) -> None:
    around = surroundings(own, lease(3, owner="Y"), ended=frozenset({ended} - {""}), control=control(total=1))
    assert explained(of=pending(), around=around).text.endswith(
        f"Its start message is invisible: {receiver}, or it is delayed after a failed delivery. "
        "Storage does not show until when."
    )


def test_a_start_that_is_in_no_queue_is_lost() -> None:
    explanation = explained(of=pending(), around=surroundings(control=control(total=0)))
    assert kinds(explanation) == ["message-lost"]
    assert "Its start message is lost" in explanation.text


def test_nothing_is_called_lost_while_the_facts_do_not_agree() -> None:
    around = surroundings(control=control(total=0))
    assert kinds(explained(of=pending(), around=around, is_settled=False)) == ["start"]


def test_a_start_among_more_messages_than_can_be_looked_at_may_be_there() -> None:
    around = surroundings(control=control(total=70, is_whole=False))
    assert explained(of=pending(), around=around).text == (
        "Its start message may be among the 70 messages in the queue 'hub-control-02': "
        "the queue shows only the first of them."
    )


@pytest.mark.parametrize(
    ("is_out", "text"),
    [
        (False, "This host has received its start message, and begins it as soon as there is room."),
        (True, "Its first episode runs now in this host."),
    ],
)
def test_this_host_knows_of_the_start_that_it_has_received(is_out: bool, text: str) -> None:
    held = HeldHere(event=started(), is_out=is_out)
    assert explained(of=pending(), around=surroundings(control=control(held=(held,), total=1))).text == text


def test_a_restarted_instance_is_not_explained_by_its_previous_execution() -> None:
    history = first_episode(activity(0))
    around = surroundings(control=control(peeked(started())))
    assert kinds(explained(*history, of=pending(execution_id="e2"), around=around)) == ["start"]


def test_a_rewound_instance_is_running_again() -> None:
    around = surroundings(control=control(peeked(GenericEvent(timestamp=AT, data="again"))))
    explanation = explained(*first_episode(activity(0)), of=pending(), around=around)
    assert explanation.text.startswith("It has 1 rewind in the queue 'hub-control-02', to which host 'X' listens.")


# Hosts and partitions


@pytest.mark.parametrize(
    ("leases", "ended", "text"),
    [
        ((lease(owner=None),), "", "No host runs on this task hub."),
        (
            (lease(ends_in=-27), lease(3, ends_in=-20)),
            "",
            "No host runs on this task hub: the last lease, of host 'X', ended at 10:00:07 UTC (20 s ago).",
        ),
        ((lease(),), "X", "No host runs on this task hub: host 'X' has ended without releasing its partitions."),
    ],
)
def test_no_valid_lease_means_that_no_host_runs(leases: tuple[Lease, ...], ended: str, text: str) -> None:
    around = surroundings(*leases, ended=frozenset({ended} - {""}))
    (reason, *_) = explained(*first_episode(activity(0)), around=around).reasons
    assert (reason.kind, reason.text) == ("no-host", text)


@pytest.mark.parametrize(
    ("own", "ended", "text"),
    [
        (lease(owner=None), "", "No host has leased its partition 02 yet."),
        (lease(4), "", "Its partition 02 has no lease, so no host listens to it. Was `partitionCount` changed?"),
        (
            lease(owner="Y"),
            "Y",
            "Its partition 02 is leased by host 'Y' until 10:00:47 UTC, but that host has ended.",
        ),
        (
            lease(owner="Y", ends_in=-1),
            "",
            "The lease of its partition 02, of host 'Y', has ended. Another host will take it.",
        ),
        (
            lease(owner="Y", next_owner="X", is_draining=True),
            "",
            "Its partition 02 is being handed over by host 'Y' to host 'X'.",
        ),
    ],
)
def test_a_partition_that_no_host_listens_to_is_named(own: Lease, ended: str, text: str) -> None:
    around = surroundings(own, lease(3), ended=frozenset({ended} - {""}))
    (reason, *_) = explained(*first_episode(activity(0)), around=around).reasons
    assert (reason.kind, reason.text) == ("partition", text)


def test_hosts_whose_leases_are_elsewhere_are_not_called_absent() -> None:
    around = replace(surroundings(), leases=())
    explanation = explained(*first_episode(activity(0)), around=around)
    assert kinds(explanation)[-1] == "hosts-unknown"
    assert "no-host" not in kinds(explanation)


# Activities


def test_activities_are_counted_named_and_located() -> None:
    history = (*first_episode(*(activity(number) for number in range(6))), *episode(done(0), done(1)))
    around = surroundings(
        control=control(peeked(done(5))),
        work_items=work_items(
            peeked(activity(4)), held=(HeldHere(event=activity(3), is_out=True, seconds_out=12.0),), total=3
        ),
    )
    explanation = explained(*history, around=around)
    assert explanation.text == (
        "It has 1 result in the queue 'hub-control-02', to which host 'X' listens. "
        "It waits for 4 of 6 activities: 'A' (tasks 2, 3, 4 and 1 more), since 10:00:00 UTC. "
        "1 has ended; 1 runs in this host for 12 s; 1 waits in the queue 'hub-workitems'; "
        "1 was received by another host, or delayed after a failed delivery."
    )
    assert kinds(explanation) == ["messages", "activities", "activities"]


def test_a_single_activity_is_named_with_the_time_since_when() -> None:
    around = surroundings(work_items=work_items(peeked(activity(0))))
    assert explained(*first_episode(activity(0)), around=around).text == (
        "It waits for an activity: 'A' (task 0), since 10:00:00 UTC. The activity waits in the queue 'hub-workitems'."
    )


def test_a_request_that_is_too_large_to_be_looked_at_is_in_the_queue_all_the_same() -> None:
    large = PeekedMessage(event_type="TaskScheduled", event=None, dequeue_count=0)
    around = surroundings(work_items=work_items(large))
    assert explained(*first_episode(activity(0)), around=around).text.endswith(
        "The activity waits in the queue 'hub-workitems'."
    )


def test_requests_behind_the_first_messages_of_the_queue_may_wait_there() -> None:
    around = surroundings(work_items=work_items(total=90, is_whole=False))
    text = explained(*first_episode(activity(0)), around=around).text
    assert text.endswith("The activity may wait in the queue 'hub-workitems', which shows only its first messages.")


def test_requests_beside_those_that_the_queue_shows_may_wait_there_too() -> None:
    around = surroundings(work_items=work_items(peeked(activity(0)), total=90, is_whole=False))
    text = explained(*first_episode(activity(0), activity(1)), around=around).text
    assert text.endswith(
        "1 waits in the queue 'hub-workitems', which shows only its first messages; 1 may wait there, too."
    )


def test_an_activity_is_named_by_the_input_of_its_request_if_the_history_has_none() -> None:
    recorded = TaskScheduled(timestamp=AT, event_id=0, name="A")
    request = activity(0, text='["{\\"chunk_id\\":17}"]')
    for queue in (work_items(peeked(request)), work_items(held=(HeldHere(event=request, is_out=True),), total=1)):
        text = explained(*first_episode(recorded), around=surroundings(work_items=queue)).text
        assert text.startswith("It waits for an activity: 'A' (chunk 17), since 10:00:00 UTC.")


def test_a_request_that_was_delivered_again_and_again_is_named() -> None:
    around = surroundings(work_items=work_items(peeked(activity(0), dequeue_count=4)))
    text = explained(*first_episode(activity(0)), around=around).text
    assert text.endswith("The request of task 0 was delivered 4 times, without a result.")


def test_a_request_that_is_in_no_queue_is_lost() -> None:
    around = surroundings(control=control(total=0), work_items=work_items(total=0))
    explanation = explained(*first_episode(activity(0)), around=around)
    assert kinds(explanation) == ["activities", "message-lost"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "The request of task 0 is lost: the queues that could have them are empty."),
        (2, "The requests of the tasks 0 and 1 are lost: the queues that could have them are empty."),
    ],
)
def test_lost_requests_are_named(count: int, text: str) -> None:
    around = surroundings(control=control(total=0), work_items=work_items(total=0))
    assert explained(*first_episode(*map(activity, range(count))), around=around).reasons[-1].text == text


def test_of_several_activities_that_run_here_the_longest_is_named() -> None:
    held = tuple(HeldHere(event=activity(number), is_out=True, seconds_out=3.0 + number) for number in range(2))
    around = surroundings(work_items=work_items(held=held, total=2))
    text = explained(*first_episode(*map(activity, range(2))), around=around).text
    assert text.endswith("2 run in this host, the longest for 4 s.")


def test_an_http_request_is_called_so() -> None:
    text = explained(*first_episode(activity(0, HTTP_ACTIVITY)), app=APP).text
    assert text.startswith("It waits for an activity: call_http (task 0), since 10:00:00 UTC.")


def test_the_next_attempt_is_named_with_its_time_and_the_error() -> None:
    pause = TimerCreated(timestamp=AT, event_id=2, fire_at=at(4))
    explanation = explained(*first_episode(activity(0), activity(1)), *episode(broken(1), pause))
    (retry,) = (reason for reason in explanation.reasons if reason.kind == "retry")
    assert retry.text == (
        "Task 1 ('A') has failed once: ValueError: empty. "
        "Its next attempt, if there is one, is due at 10:00:31 UTC (in 4 s)."
    )
    assert "It waits for 1 of 2 activities: 'A' (task 0)" in explanation.text


def test_a_repeated_attempt_is_counted() -> None:
    history = (
        *first_episode(activity(0)),
        *episode(broken(0), TimerCreated(timestamp=AT, event_id=1, fire_at=at(1))),
        *episode(TimerFired(timestamp=at(1), timer_id=1, fire_at=at(1)), activity(2, text="[0]")),
    )
    explanation = explained(*history)
    assert explanation.text.endswith("Task 2 ('A') is in its second attempt.")
    assert "an activity" in explanation.text


def test_a_known_number_of_attempts_is_named() -> None:
    pause = TimerCreated(timestamp=AT, event_id=1, fire_at=at(4))
    history = (*first_episode(activity(0, text='[{"chunk_id":17}]')), *episode(broken(0), pause))
    assert explained(*history, retries={1: RetryState(attempt=2, most=5.0, failed_id=0)}).text == (
        "Chunk 17 ('A') has failed twice: ValueError: empty. Attempt 3 of 5 is due at 10:00:31 UTC (in 4 s)."
    )
    fired = TimerFired(timestamp=at(4), timer_id=1, fire_at=at(4))
    history = (*history, *episode(fired, activity(2, text='[{"chunk_id":17}]')))
    text = explained(*history, retries={2: RetryState(attempt=3, most=5.0)}).text
    assert text.endswith("Chunk 17 ('A') is in attempt 3 of 5.")


def test_a_sub_orchestration_that_is_repeated_is_named_with_its_attempt() -> None:
    child = SubOrchestrationInstanceCreated(timestamp=AT, event_id=0, name="Kid", instance_id="k")
    failure = SubOrchestrationInstanceFailed(
        timestamp=AT, task_scheduled_id=0, reason="Orchestrator function 'Kid' failed: no file"
    )
    pause = TimerCreated(timestamp=AT, event_id=1, fire_at=at(60))
    explanation = explained(
        *first_episode(child), *episode(failure, pause), retries={1: RetryState(attempt=1, most=3, failed_id=0)}
    )
    assert explanation.text == (
        "Task 0 ('Kid') has failed once: no file. Attempt 2 of 3 is due at 10:01:27 UTC (in 60 s)."
    )
    assert kinds(explanation) == ["retry"]


def test_several_pauses_are_counted_and_the_first_that_is_due_is_named() -> None:
    pauses = [TimerCreated(timestamp=AT, event_id=3 + number, fire_at=at(9 - number)) for number in range(3)]
    failures = [broken(number) for number in range(3)]
    text = explained(*first_episode(*map(activity, range(3))), *episode(*failures, *pauses)).text
    assert text.startswith("Task 2 ('A') has failed once")
    assert text.endswith("is due at 10:00:34 UTC (in 7 s). 2 more wait for an attempt.")


def test_several_repeated_attempts_are_counted() -> None:
    timers = [TimerCreated(timestamp=AT, event_id=2 + number, fire_at=at(1)) for number in range(2)]
    fired = [TimerFired(timestamp=at(1), timer_id=2 + number, fire_at=at(1)) for number in range(2)]
    history = (
        *first_episode(activity(0), activity(1)),
        *episode(broken(0), broken(1), *timers),
        *episode(*fired, activity(4, text="[0]"), activity(5, text="[1]")),
    )
    text = explained(*history).text
    assert text.endswith("Task 4 ('A') is in its second attempt, and 1 more is repeated.")


# Functions that do not exist


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (activity(0, "Foo"), "The activity 'Foo' does not exist in this app."),
        (
            activity(0, "Broken"),
            "The activity 'Broken' does not exist in this app. 'Broken' is in error: no such binding.",
        ),
        (
            SubOrchestrationInstanceCreated(timestamp=AT, event_id=0, name="Kid", instance_id="k"),
            "The orchestrator 'Kid' does not exist in this app.",
        ),
    ],
)
def test_a_function_that_the_app_lacks_is_named(event: HistoryEvent, text: str) -> None:
    explanation = explained(*first_episode(event), app=APP)
    assert (explanation.reasons[0].kind, explanation.reasons[0].text) == ("unknown-function", text)


def test_an_orchestrator_that_the_app_lacks_is_named() -> None:
    explanation = explained(of=pending(name="Gone"), app=APP)
    assert explanation.text.startswith("The orchestrator 'Gone' does not exist in this app.")


def test_functions_are_not_missed_if_the_app_is_not_known() -> None:
    assert "unknown-function" not in kinds(explained(*first_episode(activity(0, "Foo"))))


# Sub-orchestrations, timers, entities, events


def test_sub_orchestrations_are_named_with_their_ids_and_status() -> None:
    children = [
        SubOrchestrationInstanceCreated(timestamp=AT, event_id=number, name="Orch", instance_id=f"c{number}")
        for number in range(3)
    ]
    related = {"c0": record(RuntimeStatus.SUSPENDED, instance_id="c0"), "c1": None}
    explanation = explained(*first_episode(*children), related=related)
    assert explanation.text == (
        "It waits for 3 of 3 sub-orchestrations: 'Orch' (id 'c0', Suspended), 'Orch' (id 'c1', not begun) and "
        "'Orch' (id 'c2')."
    )
    assert kinds(explanation) == ["sub-orchestrations"]


def test_one_of_many_sub_orchestrations_that_have_ended_is_not_counted_as_open() -> None:
    child = SubOrchestrationInstanceCreated(timestamp=AT, event_id=0, name="Orch", instance_id="c0")
    other = SubOrchestrationInstanceCreated(timestamp=AT, event_id=1, name="Orch", instance_id="c1")
    failure = SubOrchestrationInstanceFailed(timestamp=AT, task_scheduled_id=1, reason="no file")
    assert explained(*first_episode(child)).text == "It waits for a sub-orchestration: 'Orch' (id 'c0')."
    history = (*first_episode(child, other), *episode(failure))
    assert explained(*history).text == "It waits for 1 of 2 sub-orchestrations: 'Orch' (id 'c0')."


TIMER = TimerCreated(timestamp=AT, event_id=0, fire_at=at(4))


@pytest.mark.parametrize(
    ("members", "more"),
    [
        ({"awaited": {}}, ""),
        ({"app": APP}, ""),
        ({}, ", or for an external event, which storage does not show"),
        ({"names_in_code": ("approve",)}, ", or for an external event: its code asks for 'approve'"),
    ],
)
def test_a_timer_is_named_with_its_time(members: dict[str, Any], more: str) -> None:
    explanation = explained(*first_episode(TIMER), **members)
    assert explanation.text == f"It waits for a timer until 10:00:31 UTC (in 4 s){more}."
    assert kinds(explanation) == ["timer"]


def test_a_timer_that_no_host_has_let_fire_was_due() -> None:
    late = replace(TIMER, fire_at=at(-85))
    assert (
        explained(*first_episode(late), awaited={}).text
        == "It waits for a timer that was due at 09:59:02 UTC (85 s ago)."
    )
    text = explained(*first_episode(late, activity(1))).reasons[-1].text
    assert text == "A timer was due at 09:59:02 UTC (85 s ago), if it is not cancelled."


def test_an_attempt_that_no_host_has_begun_was_due() -> None:
    pause = TimerCreated(timestamp=AT, event_id=1, fire_at=at(-1))
    text = explained(*first_episode(activity(0)), *episode(broken(0), pause)).text
    assert "Its next attempt, if there is one, was due at 10:00:26 UTC (1 s ago)." in text


@pytest.mark.parametrize(("days", "is_part"), [(3, True), (2, False)])
def test_a_timer_that_may_be_a_part_of_a_longer_one_says_so(days: int, is_part: bool) -> None:
    timer = replace(TIMER, timestamp=AT + timedelta(milliseconds=3), fire_at=AT + timedelta(days=days))
    for history in (first_episode(timer), first_episode(timer, activity(1))):
        text = explained(*history, awaited={}).reasons[-1].text
        assert text.endswith(" the SDK divides timers of more than 6 days into parts of 3 days.") is is_part


@pytest.mark.parametrize(("count", "others"), [(2, "1 more is set"), (3, "2 more are set")])
def test_the_first_of_several_timers_is_named(count: int, others: str) -> None:
    timers = [TimerCreated(timestamp=AT, event_id=number, fire_at=at(9 - number)) for number in range(count)]
    text = explained(*first_episode(*timers), awaited={}).text
    assert text == f"It waits for a timer until 10:00:{37 - count} UTC (in {10 - count} s) ({others})."


def test_an_orchestrator_that_has_finished_keeps_its_instance_open_until_its_timer_is_due() -> None:
    explanation = explained(*first_episode(TIMER), awaited={}, has_finished=True)
    assert explanation.text == (
        "Its orchestrator has finished; the instance ends when all that it has started has ended. A timer that is no "
        "longer needed has to be cancelled. It waits for a timer until 10:00:31 UTC (in 4 s)."
    )
    assert kinds(explanation) == ["finished", "timer"]


def test_a_timer_beside_other_work_may_be_cancelled() -> None:
    history = first_episode(TIMER, activity(1))
    assert explained(*history).reasons[-1].text == ("A timer is set for 10:00:31 UTC (in 4 s), if it is not cancelled.")


def test_an_awaited_event_is_named_with_the_time_since_when() -> None:
    explanation = explained(*first_episode(), awaited={"approve": AT})
    assert explanation.text == "It waits for an external event named 'approve', since 10:00:00 UTC."
    assert kinds(explanation) == ["external-event"]


@pytest.mark.parametrize(
    ("names", "more"),
    [
        ((), "Storage does not show the name of the event."),
        (("approve", "reject"), "Its code asks for the events 'approve' and 'reject'."),
    ],
)
def test_an_event_is_awaited_if_nothing_else_is_open(names: tuple[str, ...], more: str) -> None:
    explanation = explained(*first_episode(), names_in_code=names)
    assert explanation.text == (
        f"It waits for an external event since 10:00:00 UTC, its last episode: nothing else is open. {more}"
    )
    assert kinds(explanation) == ["external-event"]


def test_an_event_of_another_name_has_arrived_in_vain() -> None:
    held = HeldHere(event=EventRaised(timestamp=AT, name="Approve"), is_kept=True)
    around = surroundings(control=control(held=(held,), total=1))
    explanation = explained(*first_episode(), awaited={"approve": AT}, around=around)
    assert kinds(explanation) == ["external-event", "event-not-awaited"]
    assert explanation.text.endswith("The event 'Approve' has arrived and is not awaited now.")


def test_several_events_are_named_together() -> None:
    held = tuple(HeldHere(event=EventRaised(timestamp=AT, name=name), is_kept=True) for name in ("a", "b", "a"))
    around = surroundings(control=control(held=held, total=3))
    explanation = explained(*first_episode(), awaited={"x": at(-5), "y": AT}, around=around)
    assert explanation.text == (
        "It waits for the external events 'x' and 'y', since 10:00:00 UTC. "
        "The events 'a' and 'b' have arrived and are not awaited now."
    )


def request(**members: Any) -> EventSent:
    text = request_to_text(EntityRequest(**{"id": "1", "operation": "add", "parent": "me", **members}))
    return EventSent(timestamp=AT, event_id=0, instance_id="@counter@x", name="op", input=text)


@pytest.mark.parametrize(
    ("entity", "more"),
    [
        (None, ""),
        (record(instance_id="@counter@x", custom_status='{"entityExists":true}'), ""),
        (
            record(instance_id="@counter@x", custom_status='{"lockedBy":"other"}'),
            "; '@counter@x' is locked by 'other'",
        ),
        (record(RuntimeStatus.SUSPENDED, instance_id="@counter@x"), "; '@counter@x' is suspended"),
    ],
)
def test_a_call_of_an_entity_is_named_with_the_cause_of_its_wait(entity: InstanceRecord | None, more: str) -> None:
    explanation = explained(*first_episode(request()), related={"@counter@x": entity})
    assert explanation.text == (
        f"It waits for the operation 'add' of the entity '@counter@x', since 10:00:00 UTC{more}."
    )
    assert kinds(explanation) == ["entity-call"]


def test_a_lock_is_named_with_its_entities_and_the_owner() -> None:
    lock = request(operation=None, lock_set=(EntityId("counter", "x"), EntityId("counter", "y")))
    owned = record(instance_id="@counter@y", custom_status='{"lockedBy":"other"}')
    explanation = explained(*first_episode(lock), related={"@counter@x": None, "@counter@y": owned})
    assert explanation.text == (
        "It waits for the lock of '@counter@x' and '@counter@y', since 10:00:00 UTC; '@counter@y' is locked by 'other'."
    )
    assert kinds(explanation) == ["entity-lock"]


def test_more_calls_of_entities_than_are_named_are_counted() -> None:
    calls = [request(id=str(number)) for number in range(4)]
    reasons = explained(*first_episode(*calls), related={"@counter@x": None}).reasons
    assert [each.kind for each in reasons] == ["entity-call"] * 4
    assert reasons[-1].text == "It waits for 1 more result of entities."


def test_a_suspended_entity_says_so() -> None:
    entity = record(RuntimeStatus.SUSPENDED, instance_id="@counter@x", custom_status='{"entityExists":true}')
    explanation = explained(of=entity)
    assert explanation.text.startswith("Suspended since 10:00:00 UTC.")
    assert kinds(explanation)[0] == "suspended"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        ('{"entityExists":true}', "It is an entity: it waits for requests and never ends.", "entity"),
        ('{"lockedBy":"me"}', "It is an entity that 'me' has locked.", "entity-lock"),
        ("odd", "It is an entity: it waits for requests and never ends.", "entity"),
    ],
)
def test_an_entity_is_explained_as_one(status: str, text: str, kind: str) -> None:
    entity = record(instance_id="@counter@x", name="@counter@x", custom_status=status)
    explanation = explained(of=entity, app=APP)
    assert (explanation.text, kinds(explanation)) == (text, [kind])


@pytest.mark.parametrize(
    ("is_out", "text"),
    [
        (True, "Its operations run now in this host."),
        (False, "This host has received 1 request; its next operations begin soon."),
    ],
)
def test_the_operations_of_an_entity_are_not_called_an_episode(is_out: bool, text: str) -> None:
    held = HeldHere(event=EventRaised(timestamp=AT, name="op", input="{}"), is_out=is_out)
    entity = record(instance_id="@counter@x", name="@counter@x")
    around = surroundings(control=control(held=(held,)))
    assert explained(of=entity, app=APP, around=around).text == text


def test_the_requests_of_an_entity_are_not_called_events() -> None:
    entity = record(instance_id="@counter@x", name="@counter@x")
    waiting = peeked(EventRaised(timestamp=AT, name="op", input="{}"))
    text = explained(of=entity, app=APP, around=surroundings(control=control(waiting, waiting))).text
    assert text == "It has 2 requests in the queue 'hub-control-02', to which host 'X' listens."


# Suspension, messages, episodes


def test_a_suspended_instance_says_since_when_and_why() -> None:
    history = (*first_episode(activity(0)), *episode(ExecutionSuspended(timestamp=at(-7), reason="too hot")))
    explanation = explained(*history, of=record(RuntimeStatus.SUSPENDED))
    assert (explanation.text, kinds(explanation)) == ("Suspended since 10:00:20 UTC: too hot.", ["suspended"])


def test_a_suspended_instance_names_the_resumption_that_waits_for_a_host() -> None:
    history = (*first_episode(activity(0)), *episode(ExecutionSuspended(timestamp=at(-7))))
    around = surroundings(lease(owner=None), control=control(peeked(ExecutionResumed(timestamp=NOW))))
    explanation = explained(*history, of=record(RuntimeStatus.SUSPENDED), around=around)
    assert explanation.text == (
        "No host runs on this task hub. Suspended since 10:00:20 UTC. "
        "It has 1 resumption in the queue 'hub-control-02'."
    )


def test_messages_are_counted_by_what_they_are() -> None:
    events = [EventRaised(timestamp=AT, name="go"), EventRaised(timestamp=AT, name="go"), done(0)]
    explanation = explained(*first_episode(activity(0)), around=surroundings(control=control(*map(peeked, events))))
    assert explanation.text.startswith("It has 2 events 'go' and 1 result in the queue 'hub-control-02'")


def test_this_host_knows_of_the_messages_that_it_has_received() -> None:
    around = surroundings(control=control(held=(HeldHere(event=done(0)),), total=1))
    text = explained(*first_episode(activity(0)), around=around).text
    assert text.startswith("This host has received 1 result; its next episode begins soon.")


def test_an_episode_that_runs_in_this_host_is_named() -> None:
    around = surroundings(control=control(held=(HeldHere(event=done(0), is_out=True),), total=1))
    assert explained(*first_episode(activity(0)), around=around).reasons[0].kind == "episode"


def test_an_episode_that_was_cut_short_is_named() -> None:
    history = (*first_episode(activity(0)), OrchestratorStarted(timestamp=AT), done(0))
    assert explained(*history).text.startswith("Its latest episode is not stored to its end")


def test_a_record_that_lags_behind_its_history_is_named() -> None:
    end = ExecutionCompleted(timestamp=AT, event_id=0, orchestration_status=RuntimeStatus.COMPLETED)
    explanation = explained(*first_episode(end))
    assert kinds(explanation) == ["record-behind"]


# Damage


def test_a_damaged_history_is_the_reason() -> None:
    explanation = explained(history_problem="row 3 is missing")
    assert explanation.text == "Its history cannot be read, so no episode can run: row 3 is missing."
    assert kinds(explanation) == ["unreadable"]


def test_a_damaged_record_is_named_beside_the_rest() -> None:
    explanation = explained(*first_episode(), of=record(problem="Name is 5, not a text"), awaited={"go": AT})
    assert kinds(explanation) == ["unreadable", "external-event"]


def test_a_running_instance_without_a_history_is_damaged() -> None:
    assert explained().text == "Its record says Running, but it has no history to continue from."


def test_each_kind_is_in_this_file() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [kind.value for kind in Kind if f'"{kind.value}"' not in text and f"Kind.{kind.name}" not in text] == []
