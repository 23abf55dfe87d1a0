"""JSON text as the durable extension stores it: compact, with characters as they are."""

from __future__ import annotations

import json

from devhost.types import JsonValue


def compact(value: JsonValue) -> str:
    """Compact JSON. Half a surrogate pair, which UTF-8 cannot carry, makes the whole text plain ASCII instead."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def parse_or_text(text: str | None) -> JsonValue:
    """The value of a stored payload; text that is not JSON, such as a termination reason, is given back as it is."""
    if text is None:
        return None
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
