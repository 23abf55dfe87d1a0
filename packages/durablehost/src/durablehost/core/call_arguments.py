"""Reads the arguments of one call by an orchestrator, which the SDK passes on unchecked.

Values are converted as a real host converts them: numbers and booleans become text, half a surrogate pair becomes
U+FFFD. A wrong value raises an error that names the call and its argument as the caller's code does. Mirrors Json.NET,
which reads the same JSON into AsyncAction of the extension.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from durablehost.core.history_json import parse_time
from durablehost.core.json_text import compact, well_formed
from durablehost.errors import UserCodeError

# Longer than any real name, and short enough for a column of a table.
MAX_TEXT_LENGTH = 4096

_EARLIEST = datetime(1601, 1, 1, tzinfo=timezone.utc)
_LARGEST_INT32 = 2**31 - 1
_SHOWN_LENGTH = 60
_SHORT_YEAR = re.compile(r"^\d{1,3}(?=-)", re.ASCII)
_NAMES_OF_TYPES = {list: "a list", dict: "a dict", str: "text", bool: "a bool", int: "a number", float: "a number"}


class CallArguments(NamedTuple):
    """The members of an action in the JSON of the SDK; `call` is the method of the context that made it."""

    call: str
    members: Mapping[str, Any]

    def text(self, member: str, argument: str) -> str:
        """A required text. Raises `UserCodeError`, as all methods below."""
        value = self.members.get(member)
        if isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH and value.isascii():
            return value  # the usual case, made fast: an orchestrator may list thousands on every run
        text = self.text_or_none(member, argument)
        if text is None:
            raise self.problem(argument, "must not be None")
        return text

    def text_or_none(self, member: str, argument: str, *, longest: float = MAX_TEXT_LENGTH) -> str | None:
        value = self.members.get(member)
        if value is None:
            return None
        if isinstance(value, (list, dict)):
            raise self.problem(argument, f"must be text, not {shown(value)}")
        text = well_formed(_as_text(value))
        if len(text) > longest:
            raise self.problem(argument, f"has {len(text)} characters; {longest} are the most")
        return text

    def json_text(self, member: str) -> str | None:
        """A value that the SDK has encoded already."""
        value = self.members.get(member)
        return value if value is None or isinstance(value, str) else compact(value)

    def time(self, member: str, argument: str) -> datetime:
        """A time; one that is too early for a table becomes the earliest that a table can store."""
        value = self.members.get(member)
        try:
            # Some platforms write years before 1000 with fewer than four digits.
            return max(parse_time(_SHORT_YEAR.sub(lambda year: year[0].zfill(4), value or "")), _EARLIEST)
        except (TypeError, ValueError):
            raise self.problem(argument, f"must be a datetime, not {shown(value)}") from None

    def milliseconds(self, member: str, argument: str) -> int:
        """A positive number of milliseconds that 32 bits hold."""
        value = self.number(member, argument)
        if not 0.5 < value <= _LARGEST_INT32:
            raise self.problem(
                argument, f"must be between 1 and {_LARGEST_INT32}, not {shown(self.members.get(member))}"
            )
        return round(value)

    def attempts(self, member: str, argument: str) -> float:
        """A number of attempts, at least one. A fraction stays: the SDK counts up to it."""
        value = self.number(member, argument)
        if not 1 <= value <= _LARGEST_INT32:
            raise self.problem(
                argument, f"must be between 1 and {_LARGEST_INT32}, not {shown(self.members.get(member))}"
            )
        return value

    def number(self, member: str, argument: str) -> float:
        """A number, or a text that is one."""
        value = self.members.get(member)
        if type(value) is int:
            return value
        try:
            number = float(value) if isinstance(value, (str, int, float)) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.problem(argument, f"must be a number, not {shown(value)}")
        return number

    def problem(self, argument: str, what: str) -> UserCodeError:
        return UserCodeError(f"{self.call}: {argument} {what}")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # Booleans as .NET and Python spell them, numbers as JSON does.
    return str(value) if isinstance(value, bool) else json.dumps(value)


def shown(value: Any) -> str:
    """A value of the caller's code for an error message: its type and the beginning of the value."""
    if value is None:
        return "None"
    text = well_formed(repr(value) if isinstance(value, str) else compact(value))
    text = text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
    return f"{_NAMES_OF_TYPES.get(type(value), type(value).__name__)} ({text})"
