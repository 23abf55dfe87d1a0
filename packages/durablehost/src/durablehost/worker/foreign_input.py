"""Makes an event from a text, to run a function whose trigger durablehost does not serve through the admin API.

Only worker processes import this module. Rule of this file: the text is the event, and its metadata is as empty as its
converter in azure.functions allows. Mirrors the data that the extensions of the Functions host send to the Python
worker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from durablehost.app.model import Binding
from durablehost.worker.converter import Datum

_TIMER = "timertrigger"
_JSON_TRIGGERS = frozenset({"eventgridtrigger"})
_NOW = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}


def foreign_datum(binding: Binding, text: str) -> Any:
    """The data of an event. A timer is due now; a JSON object overrides its members."""
    kind = binding.type.lower()
    if kind == _TIMER:
        return Datum(json.dumps({**_NOW, **_object_in(text)}), "json")
    if kind in _JSON_TRIGGERS:
        return Datum(text, "json")
    if kind in _BATCH_METADATA and _takes_many(binding):
        return Datum(SimpleNamespace(string=[text]), "collection_string")
    return Datum(text, "string")


def foreign_metadata(binding: Binding) -> Mapping[str, Any]:
    """The metadata that the converters need: by it, some distinguish one event from a batch."""
    kind = binding.type.lower()
    return (_BATCH_METADATA if _takes_many(binding) else _METADATA).get(kind, {})


def _object_in(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _takes_many(binding: Binding) -> bool:
    return str(binding.property("cardinality")).lower() == "many"


def _json(value: object) -> Any:
    return Datum(json.dumps(value), "json")


_METADATA: Mapping[str, Mapping[str, Any]] = {
    "eventhubtrigger": {"SystemProperties": _json({})},
    "servicebustrigger": {"UserProperties": _json({})},
}
_BATCH_METADATA: Mapping[str, Mapping[str, Any]] = {
    "eventhubtrigger": {"SystemPropertiesArray": _json([{}])},
    "servicebustrigger": {"UserPropertiesArray": _json([{}])},
    "kafkatrigger": {
        "TimestampArray": _json([""]),
        "KeyArray": _json([None]),
        "PartitionArray": _json([0]),
        "OffsetArray": Datum(SimpleNamespace(sint64=[0]), "collection_sint64"),
        "TopicArray": Datum(SimpleNamespace(string=[""]), "collection_string"),
        "HeadersArray": _json([[]]),
    },
}
