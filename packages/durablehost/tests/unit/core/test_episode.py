"""One episode of an orchestration: the events and messages that it creates, and when it ends the execution."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from durablehost.core.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    CreateTimer,
    OrchestratorResult,
    RetryOptions,
    SignalEntity,
    WaitForExternalEvent,
)
from durablehost.core.episode import WAITS_FOR_NOTHING, Episode, EpisodeResult, failed, terminated
from durablehost.core.history import (
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from durablehost.core.ids import partition_of
from durablehost.core.replay import RetryState
from durablehost.core.rules import Rules
from durablehost.core.status import RuntimeStatus
from durablehost.errors import NonDeterminismError
from packages.durablehost.tests.unit.core.examples import (
    AT,
    LATER,
    PARENT,
    RETRY,
    completed,
    failure,
    first_episode,
    scheduled,
    started,
    waits,
)

DONE = OrchestratorResult(is_done=True, output='"ok"')


def episode(
    *arrived: HistoryEvent, history: tuple[HistoryEvent, ...] = (), start: ExecutionStarted | None = None
) -> Episode:
    return Episode(
        started=start or started(),
        history=history,
        arrived=arrived,
        now=LATER,
        rules=Rules(max_actions=100),
        states_start=not history,
    )


def names(events: tuple[HistoryEvent, ...]) -> list[str]:
    return [event.type_name for event in events]


def test_the_first_episode_is_stored_as_a_real_host_stores_it() -> None:
    checkpoint = episode(started()).complete(waits("ReserveStock")).checkpoint
    assert names(checkpoint.new_events) == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "TaskScheduled",
        "OrchestratorCompleted",
    ]
    assert [event.is_played for event in checkpoint.new_events] == [False, True, False, False]
    assert [event.event_id for event in checkpoint.new_events] == [-1, -1, 0, -1]


def test_the_input_of_an_activity_is_in_its_message_only() -> None:
    checkpoint = episode(started()).complete(waits("A")).checkpoint
    (message,) = checkpoint.outbox
    assert isinstance(message.event, TaskScheduled)
    assert message.event.input == '["1"]'
    assert message.episode == 1
    assert message.sender == message.target
    recorded = checkpoint.new_events[2]
    assert isinstance(recorded, TaskScheduled)
    assert recorded.input is None


def test_the_request_of_an_http_call_is_an_object_in_its_message() -> None:
    result = OrchestratorResult(is_done=False, actions=(CallHttp(request='{"method":"GET"}'),))
    (message,) = episode(started()).complete(result).checkpoint.outbox
    assert isinstance(message.event, TaskScheduled)
    assert (message.event.name, message.event.input) == ("BuiltIn::HttpActivity", '[{"method":"GET"}]')


def test_inputs_are_recorded_if_the_app_is_configured_so() -> None:
    checkpoint = replace(episode(started()), rules=Rules(stores_inputs=True)).complete(waits("A")).checkpoint
    assert checkpoint.new_events[2] == checkpoint.outbox[0].event


def test_a_child_is_named_after_the_execution_and_its_task_id() -> None:
    result = OrchestratorResult(is_done=False, actions=(CallSubOrchestrator(name="Sub", input="1"),))
    checkpoint = episode(started()).complete(result).checkpoint
    created = checkpoint.new_events[2]
    assert isinstance(created, SubOrchestrationInstanceCreated)
    assert created.instance_id == "e1:0"
    start = checkpoint.outbox[0].event
    assert isinstance(start, ExecutionStarted)
    assert start.parent_instance is not None
    assert start.parent_instance.task_schedule_id == 0
    assert start.generation is None


@pytest.mark.parametrize(("asked", "version"), [(None, "2.0"), ("1.1", "1.1"), ("", "")])
def test_a_child_has_the_version_it_is_given_or_the_default(asked: str | None, version: str) -> None:
    result = OrchestratorResult(is_done=False, actions=(CallSubOrchestrator(name="Sub", input="1", version=asked),))
    checkpoint = replace(episode(started()), rules=Rules(default_version="2.0")).complete(result).checkpoint
    start = checkpoint.outbox[0].event
    assert isinstance(start, ExecutionStarted)
    assert start.version == version


def test_a_start_that_is_sent_twice_starts_one_execution() -> None:
    result = OrchestratorResult(is_done=False, actions=(CallSubOrchestrator(name="Sub", input="1", instance_id="c"),))
    first, again = (episode(started()).complete(result).checkpoint.outbox[0] for _ in range(2))
    assert first.target == again.target
    assert len(first.target.execution_id or "") == 32


def test_a_timer_is_a_message_that_is_due_when_it_fires() -> None:
    fire_at = AT + timedelta(hours=1)
    result = OrchestratorResult(is_done=False, actions=(CreateTimer(fire_at=fire_at),))
    checkpoint = episode(started()).complete(result).checkpoint
    assert isinstance(checkpoint.new_events[2], TimerCreated)
    assert checkpoint.outbox[0].due_at == fire_at


def test_a_canceled_timer_takes_its_number_but_sends_nothing_and_keeps_nothing_open() -> None:
    timer = CreateTimer(fire_at=AT + timedelta(hours=1), is_canceled=True)
    checkpoint = episode(started()).complete(replace(DONE, actions=(timer,))).checkpoint
    assert checkpoint.outbox == ()
    assert names(checkpoint.new_events)[2:] == ["TimerCreated", "ExecutionCompleted", "OrchestratorCompleted"]


def test_an_execution_that_returned_waits_for_what_it_left_open() -> None:
    history = first_episode(scheduled(0), scheduled(1))
    result = replace(DONE, actions=waits("A", "A").actions)
    outcome = episode(completed(0), history=history).complete(result)
    checkpoint = outcome.checkpoint
    assert [task.action for task in outcome.left_open] == [result.actions[1]]
    assert "ExecutionCompleted" not in names(checkpoint.new_events)
    assert checkpoint.update is not None
    assert checkpoint.update.runtime_status is RuntimeStatus.RUNNING
    history = (*history, *checkpoint.new_events)
    assert "ExecutionCompleted" in names(episode(completed(1), history=history).complete(result).checkpoint.new_events)


def test_the_end_takes_the_next_number() -> None:
    history = first_episode(scheduled(0))
    checkpoint = episode(completed(0), history=history).complete(replace(DONE, actions=waits("A").actions)).checkpoint
    end = checkpoint.new_events[-2]
    assert isinstance(end, ExecutionCompleted)
    assert (end.event_id, end.orchestration_status, end.result) == (1, RuntimeStatus.COMPLETED, '"ok"')
    assert checkpoint.update is not None
    assert checkpoint.update.output == '"ok"'
    assert checkpoint.update.completed_at == LATER


def test_an_error_fails_the_execution_in_the_words_of_the_extension() -> None:
    checkpoint = episode(started()).complete(OrchestratorResult(is_done=False, error="boom")).checkpoint
    assert checkpoint.update is not None
    assert checkpoint.update.runtime_status is RuntimeStatus.FAILED
    assert checkpoint.update.output == "Orchestrator function 'Orch' failed: boom"


def test_a_parent_gets_the_result_under_its_own_task_id() -> None:
    start = started(parent_instance=PARENT)
    (to_parent,) = episode(start, start=start).complete(DONE).checkpoint.outbox
    assert to_parent.target == PARENT.orchestration_instance
    assert isinstance(to_parent.event, SubOrchestrationInstanceCompleted)
    assert (to_parent.event.task_scheduled_id, to_parent.event.result) == (7, '"ok"')


def test_a_parent_gets_the_failure() -> None:
    start = started(parent_instance=PARENT)
    (to_parent,) = episode(start, start=start).end(failed("Orch", "boom")).checkpoint.outbox
    assert isinstance(to_parent.event, SubOrchestrationInstanceFailed)
    assert to_parent.event.reason == "Orchestrator function 'Orch' failed: boom"
    assert to_parent.event.details == "Message: boom, StackTrace: "


def test_a_parent_gets_the_frames_of_the_code_that_failed() -> None:
    start = started(parent_instance=PARENT)
    stack = 'Traceback (most recent call last):\n  File "a.py", line 1, in main\n    fail()\nValueError: boom\n'
    result = OrchestratorResult(is_done=False, error="boom", stack=stack)
    (to_parent,) = episode(start, start=start).complete(result).checkpoint.outbox
    assert isinstance(to_parent.event, SubOrchestrationInstanceFailed)
    assert to_parent.event.details == 'Message: boom, StackTrace:   File "a.py", line 1, in main\n    fail()'


def test_a_parent_gets_no_details_of_a_termination() -> None:
    start = started(parent_instance=PARENT)
    terminate = ExecutionTerminated(timestamp=AT, input="enough")
    ended = episode(terminate, history=first_episode(start=start), start=start).end(terminated(terminate))
    (to_parent,) = ended.checkpoint.outbox
    assert isinstance(to_parent.event, SubOrchestrationInstanceFailed)
    assert (to_parent.event.reason, to_parent.event.details) == ("enough", None)


def test_a_termination_ends_with_its_reason_as_raw_text() -> None:
    terminate = ExecutionTerminated(timestamp=AT, input="enough")
    checkpoint = episode(terminate, history=first_episode(scheduled(0))).end(terminated(terminate)).checkpoint
    assert names(checkpoint.new_events) == [
        "OrchestratorStarted",
        "ExecutionTerminated",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    assert checkpoint.update is not None
    assert (checkpoint.update.runtime_status, checkpoint.update.output) == (RuntimeStatus.TERMINATED, "enough")
    assert checkpoint.update.custom_status is None


def test_a_failure_with_retries_schedules_a_timer_and_then_the_work_again() -> None:
    result = waits("A", retry=RETRY)
    history = first_episode(scheduled(0))
    outcome = episode(failure(0), history=history).complete(result)
    checkpoint = outcome.checkpoint
    timer = checkpoint.new_events[2]
    assert isinstance(timer, TimerCreated)
    assert (timer.event_id, timer.fire_at) == (1, LATER + timedelta(seconds=5))
    assert outcome.retries == {1: RetryState(attempt=1, most=3, failed_id=0)}

    history = (*history, *checkpoint.new_events)
    fired = TimerFired(timestamp=LATER, timer_id=1, fire_at=timer.fire_at)
    outcome = episode(fired, history=history).complete(result)
    again = outcome.checkpoint.outbox[0].event
    assert isinstance(again, TaskScheduled)
    assert (again.event_id, again.name, again.input) == (2, "A", '["1"]')
    assert outcome.retries == {2: RetryState(attempt=2, most=3)}


def test_only_work_that_is_repeated_is_known_by_its_attempt() -> None:
    assert episode(started()).complete(waits("A", retry=RETRY)).retries == {}
    assert episode(failure(0), history=first_episode(scheduled(0))).complete(waits("A")).retries == {}
    assert episode(started()).end(failed("Orch", "why")).retries is None


def test_an_episode_is_not_earlier_than_a_timer_that_fires_in_it() -> None:
    fired = TimerFired(timestamp=LATER, timer_id=0, fire_at=LATER + timedelta(milliseconds=28))
    assert episode(fired).opened[0] == OrchestratorStarted(timestamp=fired.fire_at)


def test_events_that_make_the_sdk_schedule_a_retry_come_first() -> None:
    result = replace(waits("A"), actions=(CallActivity(name="A", input="1"), *waits("B", retry=RETRY).actions))
    history = first_episode(scheduled(0, "A"), scheduled(1, "B"))
    ordered = episode(completed(0), failure(1), history=history).numberable(result)
    assert ordered.arrived == (failure(1), completed(0))
    assert ordered.numberable(result) == ordered


def test_the_rest_of_an_episode_that_a_crash_cut_short_has_no_start_event() -> None:
    history = first_episode(scheduled(0))[:-1]
    rest = replace(episode(history=history), arrived=None)
    checkpoint = rest.complete(waits("A", "B")).checkpoint
    assert names(checkpoint.new_events) == ["TaskScheduled", "OrchestratorCompleted"]
    assert checkpoint.new_events[0].event_id == 1


@pytest.mark.parametrize(
    ("actions", "asked"),
    [((), "nothing more"), (waits("B").actions, "the activity 'B'"), ((CreateTimer(fire_at=AT),), "a timer")],
)
def test_code_that_requests_other_work_than_the_history_records_is_refused(
    actions: tuple[CallActivity, ...], asked: str
) -> None:
    message = f"the history has TaskScheduled of 'A' as task 0, but the orchestrator now asks for {asked} there"
    with pytest.raises(NonDeterminismError, match=message):
        episode(completed(0), history=first_episode(scheduled(0))).complete(replace(DONE, actions=actions))


def test_function_names_are_compared_case_insensitively() -> None:
    history = first_episode(scheduled(0, "reservestock"))
    checkpoint = (
        episode(completed(0), history=history).complete(replace(DONE, actions=waits("ReserveStock").actions)).checkpoint
    )
    assert "ExecutionCompleted" in names(checkpoint.new_events)


def test_a_custom_status_over_16_kb_fails_the_execution() -> None:
    result = replace(DONE, custom_status='"' + "x" * 8191 + '"')
    checkpoint = episode(started()).complete(result).checkpoint
    assert checkpoint.update is not None
    assert "must not exceed 16 KB. The current payload size is 16 KB." in (checkpoint.update.output or "")


def test_too_many_actions_fail_the_execution() -> None:
    checkpoint = episode(started()).complete(waits(*["A"] * 101)).checkpoint
    assert checkpoint.update is not None
    assert "Maximum amount of orchestration actions (100) has been reached" in (checkpoint.update.output or "")


@pytest.mark.parametrize(
    ("child_id", "message"),
    [
        (
            "ME",
            "The instance ID of a sub-orchestration must be different than the instance ID of a parent orchestration.",
        ),
        (
            "Parent",
            "The instance ID of a sub-orchestration must be different than the instance ID of a parent orchestration.",
        ),
        ("@counter@one", "Orchestration instance ids must not start with @"),
    ],
)
def test_a_child_with_the_id_of_an_ancestor_or_an_entity_fails_the_execution(child_id: str, message: str) -> None:
    call = CallSubOrchestrator(name="Child", input=None, instance_id=child_id)
    me = started(parent_instance=PARENT)
    outcome = episode(me, start=me).complete(OrchestratorResult(is_done=False, actions=(call,)))
    assert outcome.has_ended
    assert outcome.checkpoint.update is not None
    assert outcome.checkpoint.update.output == f"Orchestrator function 'Orch' failed: {message}"
    # Nothing but the result for its own parent: the child is not started.
    assert [type(each.event) for each in outcome.checkpoint.outbox] == [SubOrchestrationInstanceFailed]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            CallSubOrchestrator(name="Child", input=None, instance_id="x" * 513),
            "The instance ID of a sub-orchestration must not exceed 512 characters; it has 513.",
        ),
        (
            CallEntity(instance_id="@counter@" + "/" * 300, operation="add", input=None),
            "Entity ids (@name@key) must not exceed 512 characters.",
        ),
        (
            CallSubOrchestrator(name="Child", input=None, instance_id="a\u2028b"),
            "The instance ID of a sub-orchestration must not contain line separators (U+2028, U+2029).",
        ),
        (
            SignalEntity(instance_id="@counter@\u2029", operation="add", input=None),
            "Entity ids must not contain line separators (U+2028, U+2029).",
        ),
        (SignalEntity(instance_id="counter", operation="add", input=None), "Entity ids have the form @name@key."),
    ],
)
def test_an_id_that_no_instance_can_have_fails_the_execution(call: Action, message: str) -> None:
    outcome = episode(started()).complete(OrchestratorResult(is_done=False, actions=(call,)))
    assert outcome.checkpoint.update is not None
    assert outcome.checkpoint.update.output == f"Orchestrator function 'Orch' failed: {message}"
    assert not outcome.checkpoint.outbox


def test_an_orchestrator_that_waits_for_nothing_fails() -> None:
    outcome = episode(started()).complete(OrchestratorResult(is_done=False, custom_status='"x"'))
    assert outcome.checkpoint.update is not None
    assert outcome.checkpoint.update.output == f"Orchestrator function 'Orch' failed: {WAITS_FOR_NOTHING}"
    assert outcome.checkpoint.update.custom_status == '"x"'


@pytest.mark.parametrize(
    "action",
    [
        CallActivity(name="A", input="1"),
        CreateTimer(fire_at=LATER),
        WaitForExternalEvent(name="Go"),
        CallEntity(instance_id="@counter@one", operation="add", input="1"),
    ],
)
def test_an_orchestrator_that_waits_for_anything_does_not_fail(action: Action) -> None:
    assert not episode(started()).complete(OrchestratorResult(is_done=False, actions=(action,))).has_ended


@pytest.mark.parametrize(
    "action",
    [
        CreateTimer(fire_at=LATER, is_canceled=True),
        SignalEntity(instance_id="@counter@one", operation="add", input="1"),
    ],
)
def test_a_cancelled_timer_and_a_signal_are_nothing_to_wait_for(action: Action) -> None:
    assert episode(started()).complete(OrchestratorResult(is_done=False, actions=(action,))).has_ended


def test_a_retry_interval_longer_than_storage_allows_fails_the_execution() -> None:
    def outcome(days: float) -> EpisodeResult:
        retry = RetryOptions(first_interval_seconds=days * 24 * 3600, max_attempts=3)
        return episode(started()).complete(waits("A", retry=retry))

    assert not outcome(6).has_ended
    update = outcome(6.01).checkpoint.update
    assert update is not None
    assert update.output == (
        "Orchestrator function 'Orch' failed: The Azure Storage provider supports a maximum of 6 days for time-based "
        "delays"
    )


def status_of(outcome: EpisodeResult) -> str | None:
    assert outcome.checkpoint.update is not None
    return outcome.checkpoint.update.custom_status


def test_a_custom_status_that_is_not_set_is_the_text_null() -> None:
    assert status_of(episode(started()).complete(DONE)) == "null"


def test_a_custom_status_that_the_function_does_not_set_any_more_is_cleared() -> None:
    later = replace(episode(completed(0)), history=first_episode(scheduled(0)))
    assert status_of(later.complete(waits("A"))) == "null"


def test_an_execution_that_continues_another_keeps_its_custom_status_for_one_episode() -> None:
    continued = replace(episode(started()), carried_status='"from before"')
    assert status_of(continued.complete(waits("A"))) == '"from before"'
    assert status_of(continued.complete(replace(waits("A"), custom_status='"own"'))) == '"own"'


def test_a_termination_keeps_the_custom_status_of_its_own_execution_only() -> None:
    later = replace(episode(completed(0)), history=first_episode(scheduled(0)))
    assert status_of(later.end(terminated(ExecutionTerminated(timestamp=AT)))) is None
    assert status_of(episode(started()).end(terminated(ExecutionTerminated(timestamp=AT)))) == "null"


def test_a_suspension_in_the_checkpoint_of_an_episode_keeps_its_custom_status() -> None:
    outcome = episode(started()).complete(replace(waits("A"), custom_status='"own"'))
    mark = replace(episode(ExecutionSuspended(timestamp=AT)), history=outcome.checkpoint.new_events).mark()
    update = outcome.checkpoint.then(mark.checkpoint).update
    assert update is not None
    assert (update.custom_status, update.runtime_status) == ('"own"', RuntimeStatus.SUSPENDED)


@pytest.mark.parametrize(
    ("instance_id", "partitions"),
    [
        ("abc", (0, 1, 3, 3, 11)),
        ("order-1", (0, 1, 1, 5, 13)),
        ("commande-é", (0, 0, 0, 0, 8)),
        ("@counter@alice", (0, 1, 1, 5, 5)),
        ("tenant/7?x#1^", (0, 0, 2, 6, 14)),
    ],
)
def test_instances_belong_to_the_same_partitions_as_on_a_real_host(
    instance_id: str, partitions: tuple[int, ...]
) -> None:
    assert tuple(partition_of(instance_id, count) for count in (1, 2, 4, 8, 16)) == partitions
