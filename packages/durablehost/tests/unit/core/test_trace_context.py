"""Trace contexts: which texts are valid, how they are stored, and which ids are derived."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durablehost.core.trace_context import (
    TraceContext,
    begin_span,
    own_context,
    own_start,
    parse_trace_context,
    read_context,
    stored_context,
    task_context,
    work_context,
)
from packages.durablehost.tests.unit.core.examples import AT, LATER, started

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
CALLER = TraceContext(trace_id=TRACE, span_id=SPAN, state="vendor=1")


def test_a_traceparent_is_read() -> None:
    assert parse_trace_context(PARENT, "vendor=1") == CALLER
    assert parse_trace_context(PARENT.replace("-01", "-00")) == TraceContext(
        trace_id=TRACE, span_id=SPAN, is_sampled=False
    )


def test_a_context_is_written_as_a_traceparent() -> None:
    assert CALLER.trace_parent == PARENT
    assert replace(CALLER, is_sampled=False).trace_parent == f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        7,
        "00-1-2-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_an_invalid_traceparent_is_no_context(text: object) -> None:
    assert parse_trace_context(text) is None


def test_a_later_version_may_have_more_parts() -> None:
    assert parse_trace_context(f"01-{TRACE}-{SPAN}-01-more") == replace(CALLER, state=None)


@pytest.mark.parametrize("state", ["", None, "a=" + "x" * 600, "a=\x00", "a=é", 7])
def test_an_invalid_tracestate_is_left_out(state: object) -> None:
    assert parse_trace_context(PARENT, state) == replace(CALLER, state=None)


def test_the_stored_form_has_the_members_of_the_original() -> None:
    assert stored_context(CALLER) == {
        "TraceParent": PARENT,
        "TraceState": "vendor=1",
        "Id": None,
        "SpanId": None,
        "ActivityStartTime": None,
    }
    assert read_context(stored_context(CALLER)) == CALLER
    assert stored_context(None) is None


@pytest.mark.parametrize("stored", [None, {}, {"TraceParent": None}, {"TraceParent": {"a": 1}}, {"TraceParent": "x"}])
def test_a_damaged_context_is_none(stored: object) -> None:
    assert read_context(stored) is None  # type: ignore[arg-type]


def test_an_orchestration_has_a_span_of_its_own_once_it_has_begun() -> None:
    begun = begin_span(started(), CALLER, LATER)
    own = own_context(begun)
    assert own is not None
    assert (own.trace_id, own.state) == (TRACE, "vendor=1")
    assert own.span_id != SPAN
    assert begun.parent_trace_context == {
        "TraceParent": PARENT,
        "TraceState": "vendor=1",
        "Id": own.trace_parent,
        "SpanId": own.span_id,
        "ActivityStartTime": "2026-03-01T10:00:05+00:00",
    }
    assert own_start(begun) == LATER
    assert read_context(begun.parent_trace_context) == CALLER


def test_a_repeated_episode_names_the_same_spans() -> None:
    first, second = begin_span(started(), CALLER, AT), begin_span(started(), CALLER, LATER)
    assert own_context(first) == own_context(second)
    assert task_context(first, 3) == task_context(second, 3)


def test_tasks_have_different_spans() -> None:
    begun = begin_span(started(), CALLER, AT)
    contexts = [
        own_context(begun),
        *(task_context(begun, task_id, rewinds) for task_id in (0, 1) for rewinds in (0, 2)),
    ]
    assert len({context.span_id for context in contexts if context}) == 5


def test_a_rewound_orchestration_has_another_span() -> None:
    begun = begin_span(started(), CALLER, AT)
    assert own_context(begun, 2) != own_context(begun)


def test_an_orchestration_without_a_span_passes_on_the_context_of_its_caller() -> None:
    passing = started(parent_trace_context=stored_context(CALLER))
    assert own_context(passing) is None
    assert task_context(passing, 3) == work_context(passing) == CALLER


def test_an_orchestration_without_a_context_passes_on_none() -> None:
    assert task_context(started(), 3) is work_context(started()) is None


@pytest.mark.parametrize("span_id", [7, "", "x", "0" * 16])
def test_a_damaged_span_id_is_none(span_id: object) -> None:
    begun = begin_span(started(), CALLER, AT)
    damaged = replace(begun, parent_trace_context={**(begun.parent_trace_context or {}), "SpanId": span_id})  # type: ignore[dict-item]
    assert own_context(damaged) is None


def test_the_start_of_a_span_that_cannot_be_read_is_that_of_the_instance() -> None:
    assert own_start(started(parent_trace_context={"ActivityStartTime": "soon"})) == AT
