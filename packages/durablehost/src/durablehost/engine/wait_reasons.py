"""What an execution waits for, as sentences: activities, retries, children, timers, entities, external events.

Pure. A history shows no waits for external events: their names are known only to the host that has run the
orchestrator last. That one is awaited at all follows if nothing else is open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from durablehost.app.model import Function
from durablehost.core.actions import HTTP_ACTIVITY
from durablehost.core.history import (
    EventRaised,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from durablehost.core.ids import EntityId
from durablehost.core.messages import completed_task_id
from durablehost.core.open_work import Attempt, OpenWork, Pause
from durablehost.core.payload import LONG_TIMER_INTERVAL
from durablehost.engine.explanation import Facts, Kind, Reason, reason
from durablehost.engine.ports import InstanceRecord
from durablehost.engine.task_names import task_list, task_name
from durablehost.engine.unknown import why_absent
from durablehost.engine.wording import (
    counted,
    duration,
    failure_line,
    listed,
    moment,
    moment_and_distance,
    ordinal,
    quoted,
    sentence,
    times,
)

_PART = " This may be a part of a longer one: the SDK divides timers of more than 6 days into parts of 3 days."
# Whose error it is has been said.
_LABEL = re.compile(r"^(?:Activity|Orchestrator) function '[^']*' failed: +")


def wait_reasons(facts: Facts) -> Iterator[Reason]:
    work = _with_inputs(facts)
    yield from _unknown_functions(facts, work)
    yield from _finished(facts, work)
    yield from _activities(facts, work)
    yield from _retries(facts, work)
    yield from _children(facts, work)
    yield from _entities(facts, work)
    yield from _external_events(facts)
    yield from _timers(facts, work)
    yield from _kept_events(facts)


def _with_inputs(facts: Facts) -> OpenWork:
    """The open work with the inputs that its requests still have: most histories do not record them."""
    queue = facts.surroundings.work_items
    events = [*(each.event for each in queue.visible), *(each.event for each in queue.held)]
    requests = {each.event_id: each for each in events if isinstance(each, TaskScheduled)}

    def with_input(attempt: Attempt) -> Attempt:
        request = requests.get(attempt.work.event_id)
        return attempt if request is None else replace(attempt, work=replace(attempt.work, input=request.input))

    return replace(facts.work, attempts=tuple(map(with_input, facts.work.attempts)))


def external_event_of_unknown_name(facts: Facts) -> Reason:
    """For an execution that has nothing else open: it can only wait for an event."""
    last = max((event.timestamp for event in facts.history if isinstance(event, OrchestratorStarted)), default=None)
    since = f" since {moment(last, facts.now)}, its last episode" if last else ""
    if facts.names_in_code:
        events = "event" if len(facts.names_in_code) == 1 else "events"
        names = f"Its code asks for the {events} {listed([quoted(name) for name in facts.names_in_code])}."
    else:
        names = "Storage does not show the name of the event."
    text = f"It waits for an external event{since}: nothing else is open. {names}"
    return reason(Kind.EXTERNAL_EVENT, text)


def missing_function(kind: str, name: str, functions: Mapping[str, Function]) -> Reason:
    text = f"The {kind} {quoted(name)} does not exist in this app.{why_absent(name, functions)}"
    return reason(Kind.UNKNOWN_FUNCTION, text)


def _unknown_functions(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    if facts.app is None:
        return
    attempted = [attempt.work for attempt in work.attempts]
    activities = {each.name for each in attempted if isinstance(each, TaskScheduled)} - {HTTP_ACTIVITY}
    children = {each.name for each in attempted if isinstance(each, SubOrchestrationInstanceCreated)}
    entities = {EntityId.of_instance(sent.instance_id).name for sent, _ in work.requests}
    for kind, names, functions in (
        ("activity", activities, facts.app.activities),
        ("orchestrator", children, facts.app.orchestrators),
        ("entity function", entities, facts.app.entities),
    ):
        for name in sorted(names):
            if name.lower() not in functions:
                yield missing_function(kind, name, functions)


def _finished(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    """An execution goes on until everything that its orchestrator has started has ended, which surprises many."""
    if facts.has_finished:
        timers = " A timer that is no longer needed has to be cancelled." if work.timers else ""
        text = f"Its orchestrator has finished; the instance ends when all that it has started has ended.{timers}"
        yield reason(Kind.FINISHED, text)


def _activities(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    """The activities that are requested. Those that have failed are not counted: they may not be tried again."""
    tasks = [each.work for each in work.attempts if isinstance(each.work, TaskScheduled)]
    if not tasks:
        return
    head = "an activity" if work.activity_count == 1 else f"{len(tasks)} of {work.activity_count} activities"
    since = moment(min(task.timestamp for task in tasks), facts.now)
    yield reason(Kind.ACTIVITIES, f"It waits for {head}: {task_list(tasks)}, since {since}.")
    yield from _whereabouts(facts, {task.event_id for task in tasks})


def _whereabouts(facts: Facts, wanted: Set[int]) -> Iterator[Reason]:
    """Where the requests of open activities are, by task id, as far as that is known."""
    control, queue = facts.surroundings.control, facts.surroundings.work_items
    arrived = [*(each.event for each in control.visible), *(each.event for each in control.held)]
    ended = wanted & {task_id for event in arrived if event and (task_id := completed_task_id(event)) is not None}
    running = {each.event.event_id: each.seconds_out or 0 for each in queue.held if each.is_out}
    runs = (wanted & running.keys()) - ended
    seen = {each.event.event_id for each in queue.visible if each.event}
    seen |= {each.event.event_id for each in queue.held if not each.is_out}
    queued = (wanted & seen) - ended - runs
    unseen = sorted(wanted - ended - runs - queued)
    # Requests that are too large to be looked at are in the queue all the same.
    large_count = min(sum(each.event is None for each in queue.visible), len(unseen))
    waiting_count, rest = len(queued) + large_count, len(unseen) - large_count

    def subject(count: int, verb: str, plural: str) -> str:
        return f"The activity {verb}" if len(wanted) == 1 else f"{count} {verb if count == 1 else plural}"

    parts = []
    if ended:
        parts.append(f"{subject(len(ended), 'has', 'have')} ended")
    if runs:
        longest = ", the longest" if len(runs) > 1 else ""
        seconds = max(running[task_id] for task_id in runs)
        parts.append(f"{subject(len(runs), 'runs', 'run')} in this host{longest} for {duration(seconds)}")
    shown = "" if queue.is_whole else ", which shows only its first messages"
    if waiting_count:
        parts.append(f"{subject(waiting_count, 'waits', 'wait')} in the queue {quoted(queue.name)}{shown}")
    if rest and not queue.is_whole:
        where = "there, too" if waiting_count else f"in the queue {quoted(queue.name)}{shown}"
        parts.append(f"{subject(rest, 'may wait', 'may wait')} {where}")
    elif rest and queue.total == 0 and control.total == 0 and facts.is_settled:
        ids = listed([str(task_id) for task_id in unseen])
        head = f"The request of task {ids} is" if rest == 1 else f"The requests of the tasks {ids} are"
        yield reason(Kind.MESSAGE_LOST, f"{head} lost: the queues that could have them are empty.")
    elif rest:
        who = "another host" if running else "a host"
        parts.append(f"{subject(rest, 'was', 'were')} received by {who}, or delayed after a failed delivery")
    if parts:
        yield reason(Kind.ACTIVITIES, sentence("; ".join(parts)))
    yield from _redelivered(facts, queued)


def _redelivered(facts: Facts, queued: Iterable[int]) -> Iterator[Reason]:
    """The request in the queue that was delivered most often, if more than once."""
    visible = [each for each in facts.surroundings.work_items.visible if each.event and each.event.event_id in queued]
    most = max(visible, key=lambda each: each.dequeue_count, default=None)
    if most is not None and most.event is not None and most.dequeue_count > 1:
        text = f"The request of task {most.event.event_id} was delivered {most.dequeue_count} times, without a result."
        yield reason(Kind.ACTIVITIES, text)


def _retries(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    repeated = [attempt for attempt in work.attempts if attempt.number > 1]
    if repeated:
        worst = max(repeated, key=lambda attempt: attempt.number)
        more = len(repeated) - 1
        others = f", and {counted(more, 'more is', 'more are')} repeated" if more else ""
        text = f"{_capitalized(task_name(worst.work))} is in {_attempt(worst.number, worst.most)}{others}."
        yield reason(Kind.RETRY, text)
    if work.pauses:
        first = min(work.pauses, key=lambda pause: pause.timer.fire_at)
        more = len(work.pauses) - 1
        waiting = f" {counted(more, 'more waits', 'more wait')} for an attempt." if more else ""
        yield reason(Kind.RETRY, f"{_failed(first)} {_next_attempt(first, facts.now)}{waiting}")


def _failed(pause: Pause) -> str:
    text = f"{_capitalized(task_name(pause.work))} has failed {times(pause.failures)}"
    return sentence(f"{text}: {_LABEL.sub('', failure_line(pause.error))}" if pause.error else text)


def _next_attempt(pause: Pause, now: datetime) -> str:
    if pause.most is None:
        subject = "Its next attempt, if there is one,"
    else:
        subject = f"Attempt {pause.failures + 1} of {pause.most:g}"
    due = "was due" if pause.timer.fire_at <= now else "is due"
    return f"{subject} {due} at {moment_and_distance(pause.timer.fire_at, now)}."


def _attempt(number: int, most: float | None) -> str:
    return f"its {ordinal(number)} attempt" if most is None else f"attempt {number} of {most:g}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _children(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    children = [each.work for each in work.attempts if isinstance(each.work, SubOrchestrationInstanceCreated)]
    if not children:
        return
    many = f"{len(children)} of {work.child_count} sub-orchestrations"
    head = "a sub-orchestration" if work.child_count == 1 else many
    described = listed([_child(child, facts.related) for child in children])
    yield reason(Kind.SUB_ORCHESTRATIONS, f"It waits for {head}: {described}.")


def _child(child: SubOrchestrationInstanceCreated, related: Mapping[str, InstanceRecord | None]) -> str:
    text = f"{quoted(child.name)} (id {quoted(child.instance_id)}"
    if child.instance_id not in related:
        return f"{text})"
    record = related[child.instance_id]
    return f"{text}, {record.runtime_status.value})" if record else f"{text}, not begun)"


def _timers(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    if not work.timers:
        return
    first = min(work.timers, key=lambda timer: timer.fire_at)
    at = moment_and_distance(first.fire_at, facts.now)
    is_past = first.fire_at <= facts.now
    more = len(work.timers) - 1
    others = f" ({counted(more, 'more is set', 'more are set')})" if more else ""
    part = _PART if _may_be_part(first, facts) else ""
    if not work.has_timers_at_most or facts.awaited:
        due = f"was due at {at}" if is_past else f"is set for {at}"
        yield reason(Kind.TIMER, f"A timer {due}, if it is not cancelled{others}.{part}")
        return
    due = f"that was due at {at}" if is_past else f"until {at}"
    text = f"It waits for a timer {due}{others}"
    if facts.names_in_code:
        names = listed([quoted(name) for name in facts.names_in_code])
        text += f", or for an external event: its code asks for {names}"
    elif facts.awaited is None and facts.app is None:
        text += ", or for an external event, which storage does not show"
    yield reason(Kind.TIMER, f"{text}.{part}")


def _may_be_part(timer: TimerCreated, facts: Facts) -> bool:
    """Whether a timer may be a part of a long one: it is as long as such a part, from the time of an episode on."""
    begins = (event.timestamp for event in facts.history if isinstance(event, OrchestratorStarted))
    return any(begin + LONG_TIMER_INTERVAL == timer.fire_at for begin in begins)


def _entities(facts: Facts, work: OpenWork) -> Iterator[Reason]:
    for sent, request in work.requests[:3]:
        since = moment(sent.timestamp, facts.now)
        if request.is_lock:
            entities = listed([quoted(entity.instance_id) for entity in request.lock_set])
            text = f"It waits for the lock of {entities}, since {since}"
            yield reason(Kind.ENTITY_LOCK, f"{text}{_state_of(request.lock_set, facts)}.")
        else:
            operation = f"the operation {quoted(request.operation or '')} of the entity {quoted(sent.instance_id)}"
            text = f"It waits for {operation}, since {since}"
            yield reason(Kind.ENTITY_CALL, f"{text}{_state_of([EntityId.of_instance(sent.instance_id)], facts)}.")
    if len(work.requests) > 3:
        results = counted(len(work.requests) - 3, "more result", "more results")
        yield reason(Kind.ENTITY_CALL, f"It waits for {results} of entities.")


def _state_of(entities: Iterable[EntityId], facts: Facts) -> str:
    """What keeps the first of these entities that is not free, after the name of the entities."""
    for entity in entities:
        record = facts.related.get(entity.instance_id)
        if record is None:
            continue
        owner = lock_owner(record)
        if record.runtime_status.value in ("Suspended", "Terminated"):
            return f"; {quoted(entity.instance_id)} is {record.runtime_status.value.lower()}"
        if owner is not None and owner != facts.record.instance_id:
            return f"; {quoted(entity.instance_id)} is locked by {quoted(owner)}"
    return ""


def lock_owner(record: InstanceRecord) -> str | None:
    """The orchestration that has locked an entity, as its record shows it."""
    with suppress(ValueError, RecursionError):
        status = json.loads(record.custom_status or "null")
        owner = status.get("lockedBy") if isinstance(status, dict) else None
        return owner if isinstance(owner, str) else None
    return None


def _external_events(facts: Facts) -> Iterator[Reason]:
    if not facts.awaited:
        return
    since = moment(min(facts.awaited.values()), facts.now)
    names = listed([quoted(name) for name in facts.awaited])
    head = "an external event named" if len(facts.awaited) == 1 else "the external events"
    yield reason(Kind.EXTERNAL_EVENT, f"It waits for {head} {names}, since {since}.")


def _kept_events(facts: Facts) -> Iterator[Reason]:
    """Events that have arrived and that the orchestrator has not asked for, perhaps for a misspelled name."""
    kept = [each.event for each in facts.surroundings.control.held if each.is_kept]
    names = list(dict.fromkeys(event.name for event in kept if isinstance(event, EventRaised)))
    if names:
        head = "The event" if len(names) == 1 else "The events"
        verb = "has arrived and is" if len(names) == 1 else "have arrived and are"
        text = f"{head} {listed([quoted(name) for name in names])} {verb} not awaited now."
        yield reason(Kind.EVENT_NOT_AWAITED, text)
