"""The explanation of an instance from its facts: which reasons are given, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from durablehost.core.history import ExecutionSuspended
from durablehost.core.ids import EntityId, is_entity_id
from durablehost.core.json_text import parse_or_text
from durablehost.core.lineage import descends
from durablehost.core.status import RuntimeStatus
from durablehost.engine.explanation import Explanation, Facts, Kind, Reason, reason
from durablehost.engine.host_reasons import host_reasons, message_reasons, start_reasons, unknown_hosts
from durablehost.engine.ports import InstanceRecord
from durablehost.engine.wait_reasons import (
    external_event_of_unknown_name,
    lock_owner,
    missing_function,
    wait_reasons,
)
from durablehost.engine.wording import duration, failure_line, moment, quoted, sentence, shortened

_ENDS = {
    RuntimeStatus.COMPLETED: Kind.COMPLETED,
    RuntimeStatus.FAILED: Kind.FAILED,
    RuntimeStatus.TERMINATED: Kind.TERMINATED,
    RuntimeStatus.CANCELED: Kind.CANCELED,
}


def explain(facts: Facts) -> Explanation:
    """Why the instance, which has not ended, does not go on."""
    found = tuple(_reasons(facts))
    return Explanation(text=" ".join(each.text for each in found), reasons=found, record=facts.record)


def explain_end(record: InstanceRecord, now: datetime) -> Explanation:
    """How an instance has ended; the record has its output."""
    end = _end(record, now)
    return Explanation(text=end.text, reasons=(end,), record=replace(record, input=None, output=None))


def has_begun(facts: Facts) -> bool:
    """True if the history is that of the execution in the record, or of one that continues it."""
    state, record = facts.state, facts.record
    if state.started is None:
        return False
    is_known = record.execution_id == state.execution_id or descends(state.execution_id, record.execution_id)
    return is_known or record.runtime_status is not RuntimeStatus.PENDING


def _reasons(facts: Facts) -> Iterator[Reason]:
    yield from host_reasons(facts)
    yield from _damage(facts)
    if is_entity_id(facts.record.instance_id):
        yield from _entity(facts)
    elif facts.history_problem is None:
        yield from _unknown_orchestrator(facts)
        yield from _running(facts) if has_begun(facts) else _not_begun(facts)
    yield from unknown_hosts(facts)


def _end(record: InstanceRecord, now: datetime) -> Reason:
    at = record.completed_at or record.last_updated_at
    kind = _ENDS[record.runtime_status]
    text = f"{record.runtime_status.value} at {moment(at, now)}"
    if record.runtime_status is RuntimeStatus.COMPLETED:
        return reason(kind, f"{text}, {duration((at - record.created_at).total_seconds())} after its start.")
    output = parse_or_text(record.output)
    why = output if isinstance(output, str) else record.output
    if not why:
        return reason(kind, f"{text}.")
    return reason(kind, sentence(f"{text}: {failure_line(why)}"))


def _damage(facts: Facts) -> Iterator[Reason]:
    if facts.record.problem:
        yield reason(Kind.UNREADABLE, sentence(f"Its record is damaged: {shortened(facts.record.problem)}"))
    if facts.history_problem:
        text = f"Its history cannot be read, so no episode can run: {shortened(facts.history_problem)}"
        yield reason(Kind.UNREADABLE, sentence(text))


def _unknown_orchestrator(facts: Facts) -> Iterator[Reason]:
    name = facts.record.name
    if facts.app is not None and name and name.lower() not in facts.app.orchestrators:
        yield missing_function("orchestrator", name, facts.app.orchestrators)


def _not_begun(facts: Facts) -> Iterator[Reason]:
    if facts.record.runtime_status is not RuntimeStatus.PENDING:
        text = f"Its record says {facts.record.runtime_status.value}, but it has no history to continue from."
        yield reason(Kind.UNREADABLE, text)
        return
    yield from start_reasons(facts)
    yield from message_reasons(facts)


def _running(facts: Facts) -> Iterator[Reason]:
    state = facts.state
    if state.status.is_finished:
        text = f"Its history says {state.status.value}; its record follows when its last message is delivered again."
        yield reason(Kind.RECORD_BEHIND, text)
        return
    if state.status is RuntimeStatus.SUSPENDED:
        yield _suspended(facts)
        yield from message_reasons(facts)
        return
    messages = tuple(message_reasons(facts))
    yield from messages
    is_in_episode = any(each.kind == Kind.EPISODE.value for each in messages)
    if state.is_episode_open and not is_in_episode:
        text = "Its latest episode is not stored to its end: a host is storing it, or ended while it did."
        yield reason(Kind.EPISODE, text)
    yield from wait_reasons(facts)
    if facts.work.is_empty and not facts.awaited and not messages and not state.is_episode_open:
        yield external_event_of_unknown_name(facts)


def _suspended(facts: Facts) -> Reason:
    marks = [event for event in facts.history if isinstance(event, ExecutionSuspended)]
    at = marks[-1].timestamp if marks else facts.record.last_updated_at
    why = marks[-1].reason if marks else None
    text = f"Suspended since {moment(at, facts.now)}"
    return reason(Kind.SUSPENDED, sentence(f"{text}: {shortened(why)}" if why else text))


def _entity(facts: Facts) -> Iterator[Reason]:
    name = EntityId.of_instance(facts.record.instance_id).name
    if facts.app is not None and name not in facts.app.entities:
        yield missing_function("entity function", name, facts.app.entities)
    if facts.record.runtime_status is RuntimeStatus.SUSPENDED:
        yield _suspended(facts)
    owner = lock_owner(facts.record)
    if owner is not None:
        yield reason(Kind.ENTITY_LOCK, f"It is an entity that {quoted(owner)} has locked.")
    messages = tuple(message_reasons(facts))
    yield from messages
    if not messages and owner is None:
        yield reason(Kind.ENTITY, "It is an entity: it waits for requests and never ends.")
