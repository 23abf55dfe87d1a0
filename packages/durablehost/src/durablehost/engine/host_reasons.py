"""What hosts have to do with the wait of an instance: none runs, none listens to its partition, where its messages are.

Pure. A lease shows that a host runs until it ends; only the processes of this machine are known to have ended earlier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from durablehost.core.history import EventRaised, ExecutionStarted, HistoryEvent
from durablehost.core.ids import is_entity_id
from durablehost.engine.explanation import Facts, Kind, Reason, reason
from durablehost.engine.partitions import PASS_SECONDS, Lease, is_held_at
from durablehost.engine.ports import QueueView
from durablehost.engine.wording import counted, listed, moment, moment_and_distance, quoted, times

_START = ExecutionStarted.__name__
_EVENT = EventRaised.__name__
_NAMES = {
    "TaskCompleted": "result",
    "TaskFailed": "result",
    "SubOrchestrationInstanceCompleted": "result",
    "SubOrchestrationInstanceFailed": "result",
    "TimerFired": "fired timer",
    "ExecutionTerminated": "termination",
    "ExecutionSuspended": "suspension",
    "ExecutionResumed": "resumption",
    "GenericEvent": "rewind",
    "ExecutionRewound": "rewind",
}


def host_reasons(facts: Facts) -> Iterator[Reason]:
    """At most one reason: no host runs, or none listens to the partition of the instance."""
    leases = facts.surroundings.leases
    if not leases:
        return
    if not any(_is_alive(lease, facts) for lease in leases):
        yield reason(Kind.NO_HOST, _no_host(facts))
    elif text := _partition(facts):
        yield reason(Kind.PARTITION, text)


def unknown_hosts(facts: Facts) -> Iterator[Reason]:
    if not facts.surroundings.leases:
        text = "Whether a host runs is not known: the storage has no partition leases of this task hub."
        yield reason(Kind.HOSTS_UNKNOWN, text)


def listener(facts: Facts) -> str | None:
    """The host that listens to the partition of the instance; None if there is none, or none is known."""
    lease = _own_lease(facts)
    return _host(lease, facts) if lease is not None and _is_alive(lease, facts) else None


def start_reasons(facts: Facts) -> Iterator[Reason]:
    """Why an instance has not begun."""
    at = facts.record.scheduled_start
    queue = facts.surroundings.control
    if at is not None and at > facts.now:
        yield reason(Kind.SCHEDULED_START, f"It is scheduled to start at {moment_and_distance(at, facts.now)}.")
    elif any(isinstance(held.event, ExecutionStarted) and held.is_out for held in queue.held):
        yield reason(Kind.EPISODE, "Its first episode runs now in this host.")
    elif any(isinstance(held.event, ExecutionStarted) for held in queue.held):
        text = "This host has received its start message, and begins it as soon as there is room."
        yield reason(Kind.START, text)
    elif visible := [message for message in queue.visible if message.event_type == _START]:
        yield reason(Kind.START, _visible_start(facts, visible[-1].dequeue_count))
    elif not queue.is_whole:
        text = f"Its start message may be among the {queue.total or 'many'} messages in {_queue(queue)}: "
        text += "the queue shows only the first of them."
        yield reason(Kind.START, text)
    elif queue.total == 0 and facts.is_settled:
        text = f"Its start message is lost: {_queue(queue)} is empty. Terminate the instance, and start it again."
        yield reason(Kind.MESSAGE_LOST, text)
    else:
        yield reason(Kind.START, f"Its start message is invisible{_why_invisible(facts)}.")


def _visible_start(facts: Facts, dequeue_count: int) -> str:
    host = listener(facts)
    text = f"Its start message is in {_queue(facts.surroundings.control)}"
    text += f", to which {host} listens" if host else ""
    return f"{text}{_delivered_before(dequeue_count)}."


def _delivered_before(dequeue_count: int) -> str:
    return f"; it was delivered {times(dequeue_count)} before, without effect" if dequeue_count else ""


def _why_invisible(facts: Facts) -> str:
    lease = _own_lease(facts)
    delayed = "or it is delayed after a failed delivery"
    if lease is None or lease.current_owner is None:
        return f": a host has received it, {delayed}. Storage does not show until when"
    host = _host(lease, facts)
    if _is_alive(lease, facts) and lease.current_owner == facts.surroundings.own_id:
        # It would be among the messages that this host holds.
        failed = "its delivery to this host has failed, which the log of this host would show"
        return f": another host has received it earlier, or {failed}"
    if _is_alive(lease, facts):
        return f": a host has received it, perhaps {host}, which leases its partition {_until(lease, facts)}, {delayed}"
    has_ended = lease.current_owner in facts.surroundings.ended_owners
    until = _visible_at_the_latest(lease, facts) if has_ended else None
    if until is None or until <= facts.now:
        fate = "which has ended" if has_ended else "whose lease has ended"
        return f": a host has received it, perhaps {host}, {fate}, {delayed}. Storage does not show until when"
    return f" until {moment_and_distance(until, facts.now)} at the latest, if {host} had received it, which has ended"


def _visible_at_the_latest(lease: Lease, facts: Facts) -> datetime | None:
    """When the messages of an ended owner are visible again. It has renewed none after its lease was to be renewed."""
    if lease.last_renewal is None:
        return None
    return lease.last_renewal + timedelta(seconds=PASS_SECONDS + facts.surroundings.control_visibility_seconds)


def message_reasons(facts: Facts) -> Iterator[Reason]:
    """What has been sent to the instance and is in no episode yet; its start is not mentioned."""
    queue = facts.surroundings.control
    held = [each for each in queue.held if not isinstance(each.event, ExecutionStarted)]
    is_entity = is_entity_id(facts.record.instance_id)
    if any(each.is_out for each in held):
        text = "Its operations run now in this host." if is_entity else "An episode runs now in this host."
        yield reason(Kind.EPISODE, text)
    elif arrived := [_label(each.event.type_name, each.event, is_entity) for each in held if not each.is_kept]:
        what = "its next operations begin" if is_entity else "its next episode begins"
        yield reason(Kind.MESSAGES, f"This host has received {_described(arrived)}; {what} soon.")
    waiting = [_label(each.event_type, each.event, is_entity) for each in queue.visible if each.event_type != _START]
    if waiting:
        host = listener(facts)
        rest = f", to which {host} listens" if host else ""
        yield reason(Kind.MESSAGES, f"It has {_described(waiting)} in {_queue(queue)}{rest}.")


def _label(event_type: str, event: HistoryEvent | None, is_entity: bool) -> tuple[str, str]:
    """A name of the message, singular and plural. Requests to entities are stored as events."""
    if is_entity and event_type == _EVENT:
        return "request", "requests"
    if isinstance(event, EventRaised):
        return f"event {quoted(event.name)}", f"events {quoted(event.name)}"
    name = "event" if event_type == _EVENT else _NAMES.get(event_type, "message")
    return name, f"{name}s"


def _described(labels: Iterable[tuple[str, str]]) -> str:
    """`2 results, 1 event 'approve' and 1 termination`."""
    return listed([counted(count, *label) for label, count in Counter(labels).items()])


def _no_host(facts: Facts) -> str:
    ended = [lease for lease in facts.surroundings.leases if lease.current_owner in facts.surroundings.ended_owners]
    if ended:
        return f"No host runs on this task hub: {_host(ended[0], facts)} has ended without releasing its partitions."
    past = [lease for lease in facts.surroundings.leases if lease.current_owner and lease.expires_at]
    if past:
        last = max(past, key=lambda lease: lease.expires_at or facts.now)
        assert last.expires_at is not None
        return (
            f"No host runs on this task hub: the last lease, of {_host(last, facts)}, ended at "
            f"{moment_and_distance(last.expires_at, facts.now)}."
        )
    return "No host runs on this task hub."


def _partition(facts: Facts) -> str | None:
    """The problem with the partition of the instance, if it has one."""
    lease = _own_lease(facts)
    name = _partition_name(facts.surroundings.control.name)
    if lease is None:
        return f"Its partition {name} has no lease, so no host listens to it. Was `partitionCount` changed?"
    if lease.current_owner is None:
        return f"No host has leased its partition {name} yet."
    host = _host(lease, facts)
    if lease.current_owner in facts.surroundings.ended_owners:
        return f"Its partition {name} is leased by {host} {_until(lease, facts)}, but that host has ended."
    if not _is_alive(lease, facts):
        return f"The lease of its partition {name}, of {host}, has ended. Another host will take it."
    if lease.next_owner is not None and lease.is_draining:
        return f"Its partition {name} is being handed over by {host} to host {quoted(lease.next_owner)}."
    return None


def _is_alive(lease: Lease, facts: Facts) -> bool:
    owner = lease.current_owner
    is_held = owner is not None and is_held_at(lease, facts.now)
    return is_held and owner not in facts.surroundings.ended_owners


def _own_lease(facts: Facts) -> Lease | None:
    name = facts.surroundings.control.name
    return next((lease for lease in facts.surroundings.leases if lease.partition == name), None)


def _host(lease: Lease, facts: Facts) -> str:
    owner = lease.current_owner or ""
    return "this host" if owner == facts.surroundings.own_id else f"host {quoted(owner)}"


def _until(lease: Lease, facts: Facts) -> str:
    return f"until {moment(lease.expires_at, facts.now)}" if lease.expires_at else ""


def _partition_name(queue_name: str) -> str:
    """`02` of `hub-control-02`."""
    return queue_name.rpartition("-")[2]


def _queue(queue: QueueView) -> str:
    return f"the queue {quoted(queue.name)}"
