"""What goes into one call of a function and what comes back: plain data that crosses the worker process boundary.

Mirrors InvocationRequest and InvocationResponse of the Functions RPC, reduced to the bindings that devhost serves.
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
    """What a function answered; `cookies` are whole `Set-Cookie` values."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()


# What a binding hands over: text (the Datum types `string` and `json`), an HTTP request, or nothing.
InputValue = Union[str, HttpRequest, None]  # noqa: UP007


# What the end of a process in which no other call ran adds to `Invocation.crashes`.
PROVEN = 2


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One call of one function.

    `invocation_id` is a GUID and appears in the log lines and as `context.invocation_id`. `inputs` holds the values of
    bindings with direction `in`, by binding name: the trigger always, durable clients are filled in by the executor.
    `reason` is the text of the Executing line. `work` names what the call is for, the same in each attempt at it; empty
    if nobody repeats the call. `crashes` counts the ends of worker processes that it may have caused, and `PROVEN` for
    each that it has caused for certain.
    """

    invocation_id: str
    function_name: str
    inputs: Mapping[str, InputValue]
    reason: str = "(null)"
    work: str = ""
    crashes: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An exception of user code as data: its class name, its text, and the formatted traceback."""

    type_name: str
    message: str
    stack: str


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """How a call ended.

    `failure` None: the function returned. `return_value` is the encoded return value of a function whose trigger has an
    implicit output (JSON text of activities and orchestrators); `response` is the HTTP answer where an `http` output
    binding was set, None otherwise (the edge then answers 204). `outputs` holds what was set on any other output
    binding, as JSON text, by binding name.
    """

    return_value: str | None = None
    response: HttpResponse | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None
