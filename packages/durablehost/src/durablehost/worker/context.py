"""The context of a call in a worker process: its `func.Context`, and the call that a log record belongs to.

Mirrors the Context, TraceContext and RetryContext of the Azure worker.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import azure.functions as func
from azure.functions import _abc as abstract

from durablehost.app.invocation import Invocation
from durablehost.worker.current_span import span_of

# azure.functions has these since version 1.8.
_ABSTRACT_TRACE_CONTEXT: Any = getattr(abstract, "TraceContext", object)
_ABSTRACT_RETRY_CONTEXT: Any = getattr(abstract, "RetryContext", object)

# The attribute `invocation_id` is set by user code, in threads that it starts itself.
THREAD_LOCAL = threading.local()


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that runs in this process."""

    invocation_id: str
    function_name: str


_current: ContextVar[Call | None] = ContextVar("durablehost_call", default=None)
_running: dict[str, Call] = {}


@contextmanager
def running(invocation: Invocation) -> Iterator[None]:
    """Attributes what this task or thread logs to the call, and the spans that it begins to the span of the call."""
    call = Call(invocation_id=invocation.invocation_id, function_name=invocation.function_name)
    _running[call.invocation_id] = call
    token = _current.set(call)
    try:
        with span_of(invocation):
            yield
    finally:
        _current.reset(token)
        _running.pop(call.invocation_id, None)


def current_call() -> Call | None:
    """The call that this thread or task works for."""
    return _current.get() or _running.get(getattr(THREAD_LOCAL, "invocation_id", None) or "")


@dataclass(frozen=True, kw_only=True)
class TraceContext(_ABSTRACT_TRACE_CONTEXT):  # type: ignore[misc]
    """The W3C trace context of the span that the call belongs to; empty if it belongs to none."""

    Traceparent: str = ""
    Tracestate: str = ""
    Attributes: dict[str, str] = field(default_factory=dict)

    @property
    def trace_parent(self) -> str:
        return self.Traceparent

    @property
    def trace_state(self) -> str:
        return self.Tracestate

    @property
    def attributes(self) -> dict[str, str]:
        return self.Attributes


class RetryContext(_ABSTRACT_RETRY_CONTEXT):  # type: ignore[misc]
    """No trigger that durablehost serves is retried by the host, so every call is the first attempt."""

    @property
    def retry_count(self) -> int:
        return 0

    @property
    def max_retry_count(self) -> int:
        return 0

    @property
    def exception(self) -> Any:
        return None


class FunctionContext(func.Context):
    """The object behind a parameter named `context`."""

    def __init__(self, invocation: Invocation, folder: str) -> None:
        self._invocation = invocation
        self._folder = folder
        self._trace_context = TraceContext(Traceparent=invocation.trace_parent, Tracestate=invocation.trace_state)
        self._retry_context = RetryContext()

    @property
    def invocation_id(self) -> str:
        return self._invocation.invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return THREAD_LOCAL

    @property
    def function_name(self) -> str:
        return self._invocation.function_name

    @property
    def function_directory(self) -> str:
        return self._folder

    @property
    def trace_context(self) -> TraceContext:
        return self._trace_context

    @property
    def retry_context(self) -> RetryContext:
        return self._retry_context
