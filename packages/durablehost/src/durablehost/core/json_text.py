"""JSON text as the durable extension stores it: compact, and not escaped to ASCII."""

from __future__ import annotations

import json
import re
from typing import Any

from durablehost.types import JsonValue

_HALF_PAIR = re.compile("[\ud800-\udfff]")


def compact(value: JsonValue) -> str:
    """Compact JSON. A text with half a surrogate pair, which UTF-8 cannot encode, is escaped to ASCII."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if is_well_formed(text) else json.dumps(value, separators=(",", ":"))


def is_well_formed(text: str) -> bool:
    """True if UTF-8 can encode the text: it has no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def well_formed(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, as a real host converts it."""
    return text if text.isascii() else _HALF_PAIR.sub("\ufffd", text)


def parse(text: str) -> Any:
    """The value of a JSON text. NaN and the infinities, which JSON lacks, become their names, as on a real host.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=str)


def parse_or_text(text: str | None) -> JsonValue:
    """The value of a stored payload; text that is not JSON, such as a termination reason, is returned unchanged."""
    if text is None:
        return None
    try:
        value: JsonValue = parse(text)
    except (ValueError, RecursionError):
        return text
    return value
