"""Runs one call: makes arguments from the invocation, and a result from the return value and the out parameters.

No exception of user code leaves this module, except SystemExit: it ends a process that user code has forked.
Mirrors the invocation request of `azure_functions_worker.dispatcher` and its bindings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func

from durablehost.app.binding_type import SERVED_TRIGGERS
from durablehost.app.invocation import HttpRequest, HttpResponse, InputValue, Invocation, InvocationResult
from durablehost.app.model import Binding
from durablehost.worker.context import FunctionContext, running
from durablehost.worker.converter import GENERIC, Converter, Datum
from durablehost.worker.extensions import extensions
from durablehost.worker.failure import describe
from durablehost.worker.foreign_input import foreign_datum, foreign_metadata
from durablehost.worker.loader import LoadedFunction
from durablehost.worker.response import response_from_http, response_from_text
from durablehost.worker.signature import RETURN_NAME, Slot

_HTTP = "http"
# The functions of the SDK that make the entry points of these triggers.
_MAKERS = {"orchestrationtrigger": "df.Orchestrator.create", "entitytrigger": "df.Entity.create"}


class OutValue(func.Out[Any]):
    """The object behind an out parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class _Prepared:
    """The context of a call and its arguments; `outs` are those that the function sets."""

    def __init__(self, function: LoadedFunction, invocation: Invocation) -> None:
        signature = function.signature
        self.context = FunctionContext(invocation, function.folder)
        self.outs = {name: OutValue() for name in signature.outputs}
        self.arguments: dict[str, Any] = {
            **{name: _decoded(slot, invocation.inputs.get(name)) for name, slot in signature.inputs.items()},
            **({"context": self.context} if signature.takes_context else {}),
            **self.outs,
        }


def call(function: LoadedFunction, invocation: Invocation) -> InvocationResult:
    """Calls a plain entry point in the current thread."""
    with running(invocation):
        try:
            prepared = _Prepared(function, invocation)
            extensions().before_call(prepared.context, prepared.arguments)
            value = function.entry(**prepared.arguments)
            extensions().after_call(prepared.context, prepared.arguments, value)
            return _result(function, value, prepared.outs)
        except SystemExit:
            raise
        except BaseException as error:
            return InvocationResult(failure=describe(error))


async def call_async(function: LoadedFunction, invocation: Invocation) -> InvocationResult:
    """Calls a coroutine function in the current task."""
    with running(invocation):
        try:
            prepared = _Prepared(function, invocation)
            extensions().before_call(prepared.context, prepared.arguments)
            value = await function.entry(**prepared.arguments)
            extensions().after_call(prepared.context, prepared.arguments, value)
            return _result(function, value, prepared.outs)
        except SystemExit:
            raise
        # CancelledError too: nobody cancels a call, so user code has raised it.
        except BaseException as error:
            return InvocationResult(failure=describe(error))


def _decoded(slot: Slot, value: InputValue) -> Any:
    datum, metadata = _datum(slot.binding, value)
    try:
        return slot.converter.decode(datum, trigger_metadata=metadata)
    except NotImplementedError as error:
        raise TypeError(
            "unable to decode incoming TypedData: unsupported combination of TypedData field "
            f"{datum.type!r} and expected binding type {_class_of(slot.converter)}"
        ) from error


def _datum(binding: Binding, value: InputValue) -> tuple[Any, Mapping[str, Any]]:
    """The data of an input, and its metadata."""
    if isinstance(value, HttpRequest):
        return _http_datum(value), {}
    if value is None:
        return Datum(None, None), {}
    if binding.is_trigger and binding.type.lower() not in SERVED_TRIGGERS:
        return foreign_datum(binding, value), foreign_metadata(binding)
    return Datum(value, "string"), {}


def _http_datum(request: HttpRequest) -> Any:
    def texts(values: Mapping[str, str]) -> dict[str, Any]:
        return {name: Datum(value, "string") for name, value in values.items()}

    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(request.url, "string"),
            "headers": texts(request.headers),
            "query": texts(request.query),
            "params": texts(request.params),
            "body": Datum(request.body, "bytes"),
        },
        _HTTP,
    )


def _result(function: LoadedFunction, value: Any, outs: Mapping[str, OutValue]) -> InvocationResult:
    signature = function.signature
    target = signature.returned or signature.implicit
    if target is None and value is not None:
        # The blank is missing upstream too, and people search for that text.
        raise RuntimeError(f"function {function.name!r} without a $return bindingreturned a non-None value")
    given = [(name, signature.outputs[name], out.get()) for name, out in outs.items() if out.get() is not None]
    # The explicit return comes last, so that its response wins.
    if signature.returned is not None:
        given.append((RETURN_NAME, signature.returned, value))
    response, outputs = _outputs(given)
    return InvocationResult(
        return_value=_implicit_value(function, value),
        response=response,
        outputs=outputs,
    )


def _outputs(given: list[tuple[str, Slot, Any]]) -> tuple[HttpResponse | None, dict[str, str]]:
    response: HttpResponse | None = None
    outputs: dict[str, str] = {}
    for name, slot, value in given:
        datum = _encoded(slot, value)
        if slot.binding.type.lower() == _HTTP:
            is_text = datum.type == "string"
            response = response_from_text(datum.value) if is_text else response_from_http(datum.value)
        else:
            outputs[name] = _json_text(datum)
    return response, outputs


def _implicit_value(function: LoadedFunction, value: Any) -> str | None:
    """The value that is returned through the trigger, as that of an activity or an orchestrator."""
    implicit = function.signature.implicit
    if implicit is None or not implicit.binding.is_trigger:
        return None
    datum = _encoded(implicit, value)
    maker = _MAKERS.get(implicit.binding.type.lower())
    if maker and not isinstance(datum.value, str):
        raise TypeError(
            f"the function must return JSON text, not {type(value).__name__}: "
            f"its script must have `main = {maker}(...)`."
        )
    return _json_text(datum)


def _encoded(slot: Slot, value: Any) -> Any:
    try:
        return slot.converter.encode(value, expected_type=slot.annotation)
    except NotImplementedError as error:
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "{_class_of(slot.converter)}" '
            f'for Python type "{type(value).__name__}"'
        ) from error


def _json_text(datum: Any) -> str:
    if datum.type == "json":
        if not isinstance(datum.value, str):
            raise TypeError(f"the function must return JSON text, not {type(datum.value).__name__}")
        return datum.value
    if isinstance(datum.value, bytes):
        return json.dumps(base64.b64encode(datum.value).decode("ascii"))
    return json.dumps(datum.value)


def _class_of(converter: Converter) -> object:
    return type(converter) if converter is GENERIC else converter
