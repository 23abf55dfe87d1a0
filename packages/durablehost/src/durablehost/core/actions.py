"""The JSON that the SDK returns for an orchestrator, as frozen actions.

The rule of this file: everything that the SDK can ask for is either an action below or an `UnsupportedFeatureError`
that names the feature; nothing is ignored. Compound actions (WhenAll, WhenAny) are flattened: they have no task id, and
the SDK decides when they are complete. Mirrors OutOfProcOrchestratorState and AsyncAction of the extension.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Union

from durablehost.core.call_arguments import CallArguments, shown
from durablehost.core.history_json import TYPE
from durablehost.core.json_text import compact, parse, well_formed
from durablehost.errors import UnsupportedFeatureError, UserCodeError
from durablehost.types import JsonValue

FAILURE_LABEL = "\n\n$OutOfProcData$:"
# The built-in activity for call_http, and its only input.
HTTP_ACTIVITY = "BuiltIn::HttpActivity"
_EXTENSION = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_HTTP_REQUEST_TYPE = f"{_EXTENSION}.DurableHttpRequest, {_EXTENSION}"
HTTP_INPUT = "request"

_MAX_RETRY_INTERVAL_MILLISECONDS = 6 * 24 * 3600 * 1000
_COMPOUND = (11, 12)
_WITH_RETRY = (1, 3)
_UNSUPPORTED = {8: "call_http with a token source", 10: "scheduled signals to entities"}
# The methods of the SDK's context that make the actions, by action type.
_CALLS = {
    0: "call_activity",
    1: "call_activity_with_retry",
    2: "call_sub_orchestrator",
    3: "call_sub_orchestrator_with_retry",
    4: "continue_as_new",
    5: "create_timer",
    6: "wait_for_external_event",
    7: "call_entity",
    8: "call_http",
    9: "signal_entity",
}


@dataclass(frozen=True, kw_only=True)
class RetryOptions:
    """When failed work is tried again; intervals in seconds."""

    first_interval_seconds: float
    max_attempts: float
    backoff_coefficient: float = 1
    max_interval_seconds: float = _MAX_RETRY_INTERVAL_MILLISECONDS / 1000

    @property
    def is_longer_than_a_message_may_wait(self) -> bool:
        longest = max(self.first_interval_seconds, self.max_interval_seconds)
        return longest > _MAX_RETRY_INTERVAL_MILLISECONDS / 1000

    def delay_seconds(self, attempt: int) -> float:
        """The delay after an attempt, counted from 1. The SDK waits for a timer after the last one, too."""
        if attempt >= self.max_attempts:
            return 0
        try:
            delay = self.first_interval_seconds * self.backoff_coefficient ** (attempt - 1)
        except OverflowError:
            return self.max_interval_seconds
        return min(delay, self.max_interval_seconds)


@dataclass(frozen=True, kw_only=True)
class CallActivity:
    """`input` is the JSON text that the activity gets."""

    name: str
    input: str | None
    retry: RetryOptions | None = None


@dataclass(frozen=True, kw_only=True)
class CallSubOrchestrator:
    """`instance_id` None: the child is named after its parent's execution and its task id."""

    name: str
    input: str | None
    instance_id: str | None = None
    version: str | None = None
    retry: RetryOptions | None = None


@dataclass(frozen=True, kw_only=True)
class CreateTimer:
    fire_at: datetime
    is_canceled: bool = False


@dataclass(frozen=True, kw_only=True)
class CallHttp:
    """`request` is the JSON object of a DurableHttpRequest, as the activity of a real host reads it."""

    request: str


@dataclass(frozen=True, kw_only=True)
class CallEntity:
    """`instance_id` is the entity's; `input` is the JSON text that the operation gets."""

    instance_id: str
    operation: str
    input: str | None


@dataclass(frozen=True, kw_only=True)
class SignalEntity:
    """A `CallEntity` that has no result."""

    instance_id: str
    operation: str
    input: str | None


@dataclass(frozen=True, kw_only=True)
class WaitForExternalEvent:
    """Takes no task id and leaves no event: an external event completes it by name."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ContinueAsNewAction:
    """`input` is the JSON text that the next execution gets."""

    input: str | None


# Actions that take a task id, are recorded in the history and send a message.
Work = Union[CallActivity, CallSubOrchestrator, CreateTimer, CallHttp, CallEntity, SignalEntity]  # noqa: UP007
Action = Union[Work, WaitForExternalEvent, ContinueAsNewAction]  # noqa: UP007


_ENTITY_ACTIONS: Mapping[int, type[CallEntity] | type[SignalEntity]] = {7: CallEntity, 9: SignalEntity}


@dataclass(frozen=True, kw_only=True)
class OrchestratorResult:
    """The outcome of one run of the orchestrator function.

    `actions` lists all actions since the execution began: from run to run the list only grows, except that timers
    become canceled. `error` is None if the code returned or waits; `stack` is its traceback. `output` and
    `custom_status` are JSON text, None if not set.
    """

    is_done: bool
    actions: tuple[Action, ...] = ()
    output: str | None = None
    error: str | None = None
    stack: str = ""
    custom_status: str | None = None

    @property
    def work(self) -> tuple[Work, ...]:
        return tuple(a for a in self.actions if not isinstance(a, (WaitForExternalEvent, ContinueAsNewAction)))

    @property
    def has_finished(self) -> bool:
        """True if the code has returned, failed or continued as new: it waits for nothing more."""
        return self.is_done or self.error is not None or self.continuation is not None

    @property
    def continuation(self) -> ContinueAsNewAction | None:
        return next((action for action in self.actions if isinstance(action, ContinueAsNewAction)), None)


def parse_result(text: str) -> OrchestratorResult:
    """Reads what an orchestrator function returned.

    Raises:
        UnsupportedFeatureError: it uses a feature that durablehost does not have.
        UserCodeError: the text is not what the durable SDK returns.
    """
    try:
        state = parse(text)
        return OrchestratorResult(
            is_done=bool(state["isDone"]),
            actions=tuple(action for group in state["actions"] for action in _leaves(group)),
            output=_json_text(state.get("output")),
            error=_error(state.get("error")),
            custom_status=_json_text(state.get("customStatus")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserCodeError("Out of proc orchestrators must return a valid JSON schema") from error


def parse_failure(message: str, stack: str = "") -> OrchestratorResult | None:
    """Reads the state that the SDK appends to the text of a failed orchestrator's exception; None if there is none.

    The text itself, and the state as JSON, may contain the label as well, but JSON has no line breaks within a text.
    """
    _, label, state = message.rpartition(FAILURE_LABEL)
    if not label:
        return None
    result = parse_result(state)
    return replace(result, stack=stack) if result.error is not None else None


def _leaves(group: Any) -> Iterator[Action]:
    for entry in group:
        if entry["actionType"] in _COMPOUND:
            yield from _leaves(entry["compoundActions"])
        else:
            yield _action(entry)


def _action(entry: Mapping[str, Any]) -> Action:
    kind = entry["actionType"]
    call = CallArguments(_CALLS.get(kind, ""), entry)
    if kind in (0, 1):
        return CallActivity(
            name=call.text("functionName", "name"), input=call.json_text("input"), retry=_retry(call, kind)
        )
    if kind in (2, 3):
        return CallSubOrchestrator(
            name=call.text("functionName", "name"),
            input=call.json_text("input"),
            instance_id=_id_or_none(call.text_or_none("instanceId", "instance_id")),
            version=call.text_or_none("version", "version"),
            retry=_retry(call, kind),
        )
    if kind == 5:
        return CreateTimer(fire_at=call.time("fireAt", "fire_at"), is_canceled=bool(entry.get("isCanceled")))
    if kind == 4:
        return ContinueAsNewAction(input=call.json_text("input"))
    if kind == 6:
        return WaitForExternalEvent(name=_event_name(call))
    if kind == 8 and not entry["httpRequest"].get("tokenSource"):
        return CallHttp(request=_http_request(CallArguments(call.call, entry["httpRequest"])))
    if kind in _ENTITY_ACTIONS:
        return _ENTITY_ACTIONS[kind](
            instance_id=call.text("instanceId", "entityId"),
            operation=call.text_or_none("operation", "operationName") or "",
            input=call.json_text("input"),
        )
    feature = _UNSUPPORTED.get(kind, f"action type {kind}")
    raise UnsupportedFeatureError(f"the orchestrator uses {feature}, which durablehost does not support yet")


def _id_or_none(text: str | None) -> str | None:
    return text if text and not text.isspace() else None


def _event_name(call: CallArguments) -> str:
    """The SDK compares its own value with the name of the event: a converted name would never match."""
    name = call.text("externalEventName", "name")
    if name != call.members["externalEventName"]:
        raise call.problem("name", f"must be text that UTF-8 can carry, not {shown(call.members['externalEventName'])}")
    return name


def _http_request(call: CallArguments) -> str:
    method = call.text_or_none("method", "method")
    headers = call.members.get("headers")
    request = {
        TYPE: _HTTP_REQUEST_TYPE,
        "method": method,
        "uri": call.text_or_none("uri", "uri", longest=math.inf),
        "headers": headers if isinstance(headers, dict) else {},
        "content": call.json_text("content"),
        # The SDK sets none of these.
        "tokenSource": None,
        "asynchronousPatternEnabled": False,
        "retryOptions": None,
        "timeout": None,
    }
    if isinstance(headers, list):
        raise call.problem("headers", "must be a dict, not a list")
    if method is not None and not method.strip():
        raise call.problem("method", "must not be empty")
    return compact(request)


def _retry(call: CallArguments, kind: int) -> RetryOptions | None:
    if kind not in _WITH_RETRY:
        return None
    members = call.members.get("retryOptions")
    if not isinstance(members, dict):
        raise call.problem("retry_options", "must be RetryOptions")
    options = CallArguments(call.call, members)
    longest = members.get("maxRetryIntervalInMilliseconds")
    coefficient = members.get("backoffCoefficient")
    return RetryOptions(
        first_interval_seconds=options.milliseconds(
            "firstRetryIntervalInMilliseconds", "first_retry_interval_in_milliseconds"
        )
        / 1000,
        max_attempts=options.attempts("maxNumberOfAttempts", "max_number_of_attempts"),
        backoff_coefficient=options.number("backoffCoefficient", "backoff_coefficient") if coefficient else 1,
        max_interval_seconds=(
            options.number("maxRetryIntervalInMilliseconds", "max_retry_interval_in_milliseconds")
            if longest
            else _MAX_RETRY_INTERVAL_MILLISECONDS
        )
        / 1000,
    )


def _json_text(value: JsonValue) -> str | None:
    return None if value is None else compact(value)


def _error(value: JsonValue) -> str | None:
    if value is None:
        return None
    return well_formed(value) if isinstance(value, str) else compact(value)
