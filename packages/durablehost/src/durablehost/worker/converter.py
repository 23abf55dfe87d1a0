"""The converters between binding data and Python values: those of azure.functions, and the generic one it lacks.

Only worker processes import this module. Mirrors `azure_functions_worker.bindings` (generic.py and meta.py).
"""

from __future__ import annotations

from typing import Any, Protocol

import azure.functions as func

Datum = func.meta.Datum


class Converter(Protocol):
    """The part of a converter class of azure.functions that durablehost calls."""

    def check_input_type_annotation(self, pytype: Any) -> bool: ...

    def check_output_type_annotation(self, pytype: Any) -> bool: ...

    def decode(self, data: Any, *, trigger_metadata: Any) -> Any: ...

    def encode(self, obj: Any, *, expected_type: Any) -> Any: ...


class GenericConverter:
    """Text and bytes as they are: for binding types that azure.functions does not know."""

    def has_implicit_output(self) -> bool:
        return True

    def check_input_type_annotation(self, pytype: Any) -> bool:
        return issubclass(pytype, (str, bytes))

    def check_output_type_annotation(self, pytype: Any) -> bool:
        return issubclass(pytype, (str, bytes, bytearray))

    def decode(self, data: Any, *, trigger_metadata: Any) -> Any:
        if data.type is None or data.type in ("string", "bytes", "json"):
            return data.value
        raise ValueError(f'unexpected type of data received for the "generic" binding : {data.type!r}')

    def encode(self, obj: Any, *, expected_type: Any) -> Any:
        if obj is None:
            return Datum(None, None)
        if isinstance(obj, (bytes, bytearray)):
            return Datum(bytes(obj), "bytes")
        if isinstance(obj, (str, dict, list, bool, int, float)):
            return Datum(obj, type(obj).__name__ if not isinstance(obj, str) else "string")
        raise NotImplementedError


GENERIC = GenericConverter()

_NAMES = (
    "httpTrigger", "http", "orchestrationTrigger", "activityTrigger", "entityTrigger", "durableClient",
    "blob", "blobTrigger", "connectorTrigger", "cosmosDB", "cosmosDBTrigger", "eventGrid", "eventGridTrigger",
    "eventHub", "eventHubTrigger", "kafka", "kafkaTrigger", "mcpPromptTrigger", "mcpResourceTrigger", "mcpToolTrigger",
    "mysql", "mysqlTrigger", "queue", "queueTrigger", "serviceBus", "serviceBusTrigger", "sql", "timerTrigger",
    "warmupTrigger",
)  # fmt: skip

# The registry of azure.functions distinguishes upper and lower case, function.json does not.
_SPELLINGS = {name.lower(): name for name in _NAMES}


def converter_for(binding_type: str) -> Converter:
    registered = func.get_binding_registry().get(_SPELLINGS.get(binding_type.lower(), binding_type))  # type: ignore[no-untyped-call]
    converter: Converter = GENERIC if registered is None else registered
    return converter


def has_implicit_output(converter: Converter) -> bool:
    """Whether a function with this binding returns a value without a `$return` binding."""
    return bool(getattr(converter, "has_implicit_output", lambda: False)())


def accepts_input(converter: Converter, annotation: Any) -> bool:
    return _is_accepted(getattr(converter, "check_input_type_annotation", None), annotation)


def accepts_output(converter: Converter, annotation: Any) -> bool:
    return _is_accepted(getattr(converter, "check_output_type_annotation", None), annotation)


def _is_accepted(check: Any, annotation: Any) -> bool:
    try:
        return check is not None and bool(check(annotation))
    except TypeError:
        # The converters call issubclass(), which raises for `list[int]`.
        return False
