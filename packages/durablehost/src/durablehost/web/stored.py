"""Converts stored payloads to JSON, and JSON request bodies to stored payloads, as Json.NET does.

Answers are put together from pieces of JSON text, so that one payload that is not JSON does not spoil the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

from durablehost.core.json_text import compact
from durablehost.errors import RequestError
from durablehost.large_text import call_on_text
from durablehost.types import JsonValue

NULL = "null"


def stored_json(text: str | None) -> str:
    """Compact JSON text for a stored payload. What is not JSON, such as a failure's text, becomes a JSON string without
    the blanks around it.

    The numbers that JSON lacks become strings, as Json.NET writes them.
    """
    if text is None:
        return NULL
    if not text.strip():
        return '""'
    try:
        return compact(json.loads(text, parse_constant=str, parse_float=_finite_or_name))
    except (ValueError, RecursionError):
        return compact(text.strip())


async def shown_json(text: str | None) -> str:
    """`stored_json`, off the event loop if the payload is large."""
    return NULL if text is None else await call_on_text(stored_json, text) or NULL


def body_to_input(body: bytes) -> str | None:
    """The raw input of an instance from a request body: its JSON as it was sent; None for an empty body.

    Raises:
        RequestError: 400, the body is not JSON.
    """
    if body_to_json(body) is None:
        return None
    return body.decode(json.detect_encoding(body), "replace")


def body_to_json(body: bytes) -> str | None:
    """The JSON of a request body, compact, as events and operations are stored; None for an empty body.

    Raises:
        RequestError: 400, the body is not JSON.
    """
    if not body.strip():
        return None
    try:
        return compact(json.loads(body, parse_constant=_refuse, parse_float=_finite))
    except RecursionError as error:
        raise RequestError(400, "Invalid JSON content", "The JSON is nested too deeply") from error
    except ValueError as error:
        raise RequestError(400, "Invalid JSON content", str(error)) from error


def json_object(members: Mapping[str, str]) -> str:
    """A JSON object of members that are JSON text."""
    return "{" + ",".join(f"{compact(name)}:{text}" for name, text in members.items()) + "}"


def json_array(items: Iterable[str]) -> str:
    """A JSON array of items that are JSON text."""
    return "[" + ",".join(items) + "]"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _finite_or_name(text: str) -> JsonValue:
    number = float(text)
    return number if math.isfinite(number) else ("Infinity" if number > 0 else "-Infinity")


def _refuse(name: str) -> JsonValue:
    raise ValueError(f"{name} is not a JSON value")
