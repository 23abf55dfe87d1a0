"""Whatever a queue or a table contains, a reader returns a usable value or refuses it with a known error.

5,000 mutated messages, rows and documents by default; `-m soak` tries fifteen times as many.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from durablehost.core.entities import EntityEpisode
from durablehost.core.entity_messages import request_from_text, request_to_text
from durablehost.core.entity_result import BatchResult, OperationResult
from durablehost.core.episode_spans import spans_of_episode
from durablehost.core.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
)
from durablehost.core.history_json import event_to_json, format_time
from durablehost.core.ids import partition_of
from durablehost.core.messages import TaskMessage
from durablehost.core.payload import activity_argument, orchestrator_payload
from durablehost.core.rewind import plan_rewind
from durablehost.core.state import admit, fold
from durablehost.core.status import RuntimeStatus
from durablehost.engine.partitions import Situation, plan
from durablehost.errors import PoisonMessage, UnreadableState
from durablehost.storage.account.names import escape_key, message_blob
from durablehost.storage.messages.start_check import judge_start
from durablehost.storage.rows import table as entity_table
from durablehost.storage.rows.history_rows import event_of_row, row_of_event
from durablehost.storage.rows.instance_rows import stored_instance
from durablehost.storage.rows.lease_table import LeaseTable
from durablehost.storage.rows.message_json import (
    OffloadedEnvelope,
    envelope_from_text,
    envelope_to_text,
    is_request_envelope,
    task_of_request,
)
from durablehost.storage.rows.payloads import is_blob_name
from durablehost.storage.rows.table import StorageTable, StoredRow
from durablehost.web.status_view import HistoryOptions, history_json, status_json
from packages.durablehost.tests.fuzz.mutations import mutated, mutated_text
from packages.durablehost.tests.fuzz.seeds import (
    AT,
    ENTITY,
    HISTORY,
    REQUESTS,
    TRACE_CONTEXT,
    entity_documents,
    history_rows,
    instance_rows,
    lease_rows,
    message_documents,
)
from packages.durablehost.tests.hubs import build

SEED = 12
TRACED = replace(cast(ExecutionStarted, HISTORY[1]), parent_trace_context=TRACE_CONTEXT)
ENDED = ExecutionCompleted(timestamp=AT, orchestration_status=RuntimeStatus.COMPLETED)
EVERYTHING = HistoryOptions(with_input=True, with_output=True)


def read_message(text: str) -> bool:
    """Returns True if the text was read; then does everything with it that a hub does, except storing it."""
    is_request_envelope(text)
    if task := task_of_request(text):
        partition_of(task[0].instance_id, 4)
    try:
        envelope = envelope_from_text(text)
    except PoisonMessage:
        return False
    if isinstance(envelope, OffloadedEnvelope):
        is_blob_name(envelope.blob_name)
        return True
    use(envelope.message)
    assert isinstance(envelope.sequence_number, int)
    return True


def use(message: TaskMessage) -> None:
    partition_of(message.target.instance_id, 4)
    escape_key(message.target.instance_id)
    message_blob(message.target.instance_id, "a", message.event.type_name).encode()
    (message.target.execution_id or "").encode()
    if message.due_at:
        (message.due_at - AT).total_seconds()
    assert json.loads(envelope_to_text(message, activity_id="a", sequence_number=1))
    use_event(message.event)
    for history in ((), HISTORY):
        admit(fold(history), [(message, 1)])
    if isinstance(message.event, ExecutionStarted):
        record = stored_instance(StoredRow(columns=instance_rows()[0], etag="e")).record
        judge_start(message.event, record, dequeue_count=2, inserted_at=AT)
        partition_of(message.event.orchestration_instance.instance_id, 4)
        if parent := message.event.parent_instance:
            partition_of(parent.orchestration_instance.instance_id, 4)
        orchestrator_payload(message.event, (*HISTORY, message.event))


def use_event(event: HistoryEvent) -> None:
    json.dumps(event_to_json(event), allow_nan=True)
    row = row_of_event(event, "e")
    json.loads(entity_table._encode({"PartitionKey": "p", "RowKey": "r", **row}))
    history = (*HISTORY, event)
    fold(history)
    plan_rewind(history)
    started = event if isinstance(event, ExecutionStarted) else TRACED
    for span in spans_of_episode(started, HISTORY, (event, ENDED)):
        json.dumps([span.name, span.error, dict(span.attributes)]).encode()
        assert span.place.started_at.tzinfo is not None
    asyncio.run(history_json(history, EVERYTHING)).encode()
    activity_argument(getattr(event, "input", None))


def read_history_row(row: dict[str, Any]) -> bool:
    try:
        event = event_of_row(stored(row).columns)
    except UnreadableState:
        return False
    use_event(event)
    return True


def read_instance_row(row: dict[str, Any]) -> bool:
    record = stored_instance(stored({**row, "PartitionKey": "victim"})).record
    shown = json.loads(asyncio.run(status_json(record, with_input=True)).encode())
    assert shown["instanceId"] == "victim"
    assert (record.problem is None) is (
        not isinstance(shown["customStatus"], dict) or "unreadable" not in shown["customStatus"]
    )
    assert isinstance(record.generation, int)
    judge_start(cast(ExecutionStarted, HISTORY[1]), record, dequeue_count=2, inserted_at=AT)
    return record.problem is None


LEASES = LeaseTable(cast(StorageTable, None), "hub-control-", [])


def read_lease_row(row: dict[str, Any]) -> bool:
    lease = LEASES._lease(stored({**row, "PartitionKey": "", "RowKey": "hub-control-00"}))
    now = build.now()
    for is_stopping in (True, False):
        plan(
            [lease], Situation(worker_id="a", now=now, listening=frozenset({lease.partition}), is_stopping=is_stopping)
        )
    return lease.current_owner is not None


def stored(row: dict[str, Any]) -> StoredRow:
    """A row as the table service returns it, with the types of its columns."""
    return entity_table._stored({"odata.etag": "e", **row})


def on_the_wire(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON, for the mutations."""
    wire: dict[str, Any] = {}
    for name, value in row.items():
        wire[name] = format_time(value) if isinstance(value, datetime) else value
        if isinstance(value, datetime):
            wire[f"{name}@odata.type"] = "Edm.DateTime"
    return wire


def read_request(text: str) -> bool:
    """Returns True if the request can be read; then runs it on a stored entity."""
    try:
        request_to_text(request_from_text(text))
    except PoisonMessage:
        return False
    run_entity('{"exists":true,"state":"1"}', text)
    return True


def read_entity(text: str) -> bool:
    try:
        run_entity(text, request_to_text(REQUESTS[0]))
    except UnreadableState:
        return False
    return True


def run_entity(stored_text: str, request_text: str) -> None:
    me = OrchestrationInstance(instance_id=ENTITY.instance_id, execution_id="e1")
    started = ExecutionStarted(timestamp=AT, orchestration_instance=me, name=me.instance_id, input=stored_text)
    episode = EntityEpisode(me, (started,), now=AT + timedelta(seconds=1))
    for name in ("op", "release", "op@2026-01-05T10:00:00Z", "op@never"):
        try:
            episode.receive(EventRaised(timestamp=AT, name=name, input=request_text))
        except PoisonMessage:
            assert name == "release"
    while batch := episode.take(100):
        json.loads(episode.payload(batch))
        episode.complete(
            batch, BatchResult(exists=True, state="1", results=tuple(OperationResult(result="1") for _ in batch))
        )
    checkpoint = episode.checkpoint()
    for message in checkpoint.outbox:
        partition_of(message.target.instance_id, 4)
        read_message(envelope_to_text(message, activity_id="a", sequence_number=1))
    for event in checkpoint.new_events:
        use_event(event)


def rows(rng: random.Random, seeds: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    while True:
        yield mutated(on_the_wire(rng.choice(seeds)), rng)


def documents(rng: random.Random, seeds: list[dict[str, Any]]) -> Iterator[str]:
    while True:
        document = rng.choice(seeds)
        is_text = rng.random() < 0.2
        yield mutated_text(json.dumps(document), rng) if is_text else json.dumps(mutated(document, rng))


Kind = tuple[Callable[[Any], bool], Callable[[random.Random], Iterator[Any]], int]
KINDS: dict[str, Kind] = {
    "messages": (read_message, lambda rng: documents(rng, message_documents()), 2000),
    "history rows": (read_history_row, lambda rng: rows(rng, history_rows()), 1000),
    "instance rows": (read_instance_row, lambda rng: rows(rng, instance_rows()), 700),
    "lease rows": (read_lease_row, lambda rng: rows(rng, lease_rows()), 300),
    "requests": (read_request, lambda rng: documents(rng, [json.loads(request_to_text(r)) for r in REQUESTS]), 500),
    "entities": (read_entity, lambda rng: documents(rng, entity_documents()), 500),
}


def try_all(kind: str, *, times: int, seed: int) -> None:
    read, generate, count = KINDS[kind]
    cases = generate(random.Random(seed))
    outcomes: Counter[bool] = Counter()
    for number in range(count * times):
        case = next(cases)
        try:
            outcomes[read(case)] += 1
        except Exception as error:
            raise AssertionError(f"case {number} of seed {seed} was not foreseen: {str(case)[:1500]}") from error
    # Some cases are refused and some are accepted.
    assert min(outcomes[True], outcomes[False]) > count / 20, outcomes


def test_there_are_five_thousand_cases() -> None:
    assert sum(count for _, _, count in KINDS.values()) >= 5000


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_data_is_read_or_refused_without_unexpected_errors(kind: str) -> None:
    try_all(kind, times=1, seed=SEED)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_data_is_read_or_refused_without_unexpected_errors_in_many_rounds(kind: str, seed: int) -> None:
    try_all(kind, times=5, seed=seed)
