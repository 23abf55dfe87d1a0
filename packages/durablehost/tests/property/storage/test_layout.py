"""Properties of keys, partitions and messages for any input."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durablehost.core.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    TaskCompleted,
    TaskScheduled,
    TimerFired,
)
from durablehost.core.ids import fnv1a, partition_of
from durablehost.core.messages import TaskMessage
from durablehost.storage.account.names import escape_key, unescape_key
from durablehost.storage.rows.history_rows import event_of_row, is_large, row_of_event, utf16_units
from durablehost.storage.rows.message_json import Envelope, envelope_from_text, envelope_to_text

VECTORS = {
    "abc": (0x1A47E90B, 0, 1, 3, 3, 11),
    "order-1": (0x2B7FCD6D, 0, 1, 1, 5, 13),
    "order-42": (0x572446F4, 0, 0, 0, 4, 4),
    "nightly-sync": (0x8AF94E3A, 0, 0, 2, 2, 10),
    "commande-é": (0x47946DA8, 0, 0, 0, 0, 8),
    "@counter@alice": (0x3D3AFCE5, 0, 1, 1, 5, 5),
    "tenant/7?x#1^": (0x686D004E, 0, 0, 2, 6, 14),
}

texts = st.text(st.characters(codec="utf-8"))
keys = st.text(st.one_of(st.sampled_from("^/\\#?0123 \x00\x7f\x9fÀ'"), st.characters(codec="utf-8")))
# All texts that JSON can represent, lone surrogates included.
payloads = st.none() | st.text()
times = st.datetimes(timezones=st.just(timezone.utc), min_value=datetime(1900, 1, 1))  # noqa: DTZ001
ids = st.integers(-1, 2**31 - 1)
instances = st.builds(OrchestrationInstance, instance_id=texts.filter(bool), execution_id=st.none() | st.just("e1"))
events: st.SearchStrategy[HistoryEvent] = st.one_of(
    st.builds(TaskScheduled, timestamp=times, event_id=ids, name=texts, input=payloads, version=st.just("")),
    st.builds(TaskCompleted, timestamp=times, task_scheduled_id=ids, result=payloads),
    st.builds(TimerFired, timestamp=times, timer_id=ids, fire_at=times),
    st.builds(EventRaised, timestamp=times, is_played=st.booleans(), name=texts, input=payloads),
    st.builds(
        ExecutionStarted,
        timestamp=times,
        orchestration_instance=instances,
        name=texts,
        input=payloads,
        tags=st.none() | st.dictionaries(texts.filter(lambda key: key != "$type"), texts),
        scheduled_start_time=st.none() | times,
        generation=st.none() | ids,
    ),
)


@pytest.mark.parametrize("instance_id", VECTORS)
def test_the_partition_of_an_instance_is_that_of_a_real_host(instance_id: str) -> None:
    hashed, *partitions = VECTORS[instance_id]
    assert fnv1a(instance_id.encode()) == hashed
    assert [partition_of(instance_id, count) for count in (1, 2, 4, 8, 16)] == partitions


@given(keys)
def test_a_key_decodes_to_its_id_and_contains_only_characters_that_tables_accept(instance_id: str) -> None:
    key = escape_key(instance_id)
    assert unescape_key(key) == instance_id
    assert not any(c in "/\\#?" or ord(c) <= 0x1F or 0x7F <= ord(c) <= 0x9F for c in key)


@given(keys, keys)
def test_different_ids_have_different_keys(one: str, other: str) -> None:
    assert (escape_key(one) == escape_key(other)) == (one == other)


@given(events, instances, st.none() | instances, st.none() | ids, st.integers(0, 2**62))
def test_a_message_is_read_back_as_it_was_sent(
    event: HistoryEvent,
    target: OrchestrationInstance,
    sender: OrchestrationInstance | None,
    episode: int | None,
    sequence_number: int,
) -> None:
    message = TaskMessage(event=event, target=target, sender=sender, episode=episode)
    text = envelope_to_text(message, activity_id="a", sequence_number=sequence_number)
    assert text.isascii()
    assert envelope_from_text(text) == Envelope(message=message, sequence_number=sequence_number)


@given(events)
def test_an_event_is_read_back_from_its_row(event: HistoryEvent) -> None:
    row = row_of_event(event, "e1")
    assert None not in row.values()
    assert event_of_row(row) == event


@given(events, st.integers(-14 * 60, 14 * 60))
def test_times_of_any_offset_are_stored_in_utc(event: HistoryEvent, minutes: int) -> None:
    local = replace(event, timestamp=event.timestamp.replace(tzinfo=timezone(timedelta(minutes=minutes))))
    message = TaskMessage(event=local, target=OrchestrationInstance(instance_id="a", execution_id=None))
    read = envelope_from_text(envelope_to_text(message, activity_id="a", sequence_number=1))
    assert isinstance(read, Envelope)
    assert read.message.event.timestamp == local.timestamp
    assert read.message.event.timestamp.utcoffset() == timedelta(0)


@given(st.text(st.characters(codec="utf-8"), max_size=50), st.integers(1, 2000))
def test_the_size_of_a_text_is_that_of_its_utf16_form(text: str, times_over: int) -> None:
    long = text * times_over
    assert utf16_units(long) == len(long.encode("utf-16-le")) // 2
    assert is_large(long) == (len(long.encode("utf-16-le")) > 61_440)
