"""The input and the result of one call of a function: plain data that the host and the worker process exchange.

Mirrors InvocationRequest and InvocationResponse of the Functions RPC, reduced to the bindings that durablehost serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request as a function sees it: header names in lower case, `params` are the route values, all decoded."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    params: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """The response of a function; `cookies` are whole `Set-Cookie` values."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()


# The value of an input binding: text (the Datum types `string` and `json`), an HTTP request, or nothing.
InputValue = Union[str, HttpRequest, None]  # noqa: UP007


# Added to `Invocation.crashes` for the end of a process in which no other call ran.
PROVEN = 2


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One call of one function.

    `invocation_id` is a GUID and appears in the log lines and as `context.invocation_id`. `inputs` holds the values of
    bindings with direction `in`, by binding name: the trigger always, durable clients are filled in by the executor.
    `reason` is the text of the Executing line. `work` identifies the work of the call, the same in each attempt; empty
    if nobody repeats it. `instance_id` is the instance that the call is for, empty for an HTTP function; `task_id` is
    that of an activity. `crashes` counts 1 for each worker process that the call may have ended, and `PROVEN` for each
    that it has certainly ended. `trace_parent` and `trace_state` are the W3C trace context of the span that the call
    belongs to; empty if it belongs to none.
    """

    invocation_id: str
    function_name: str
    inputs: Mapping[str, InputValue]
    reason: str = "(null)"
    work: str = ""
    instance_id: str = ""
    task_id: int | None = None
    crashes: int = 0
    trace_parent: str = ""
    trace_state: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An exception of user code as data: its class name, its text, and the formatted traceback."""

    type_name: str
    message: str
    stack: str

    @property
    def has_frames(self) -> bool:
        """Whether the traceback names a line of code; else the function as a whole, or its result, is wrong."""
        return '\n  File "' in f"\n{self.stack}"


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """How a call ended.

    `failure` None: the function returned. `return_value` is the encoded return value of a function whose trigger has an
    implicit output (JSON text of activities and orchestrators); `response` is the HTTP answer if an `http` output
    binding was set, None otherwise (the edge then answers 204). `outputs` has the values of other output bindings, as
    JSON text, by binding name.
    """

    return_value: str | None = None
    response: HttpResponse | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None
