"""Reads query strings as the management API does: names in any case; bad values count as absent.

Mirrors the query handling of HttpApiHandler in the Durable Functions extension. The `readable_` methods refuse a bad
value instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl

from durablehost.core.status import RuntimeStatus
from durablehost.errors import RequestError
from durablehost.web.times import read_time

_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d*)?|\.\d+", re.ASCII)
_MAX_INT32 = 2**31 - 1
# By name and by number: .NET reads both.
_STATUSES = {text: status for status in RuntimeStatus for text in (status.value.lower(), str(status.number))}


class Query:
    """The decoded query of a request."""

    def __init__(self, raw: str) -> None:
        self._pairs = tuple(parse_qsl(raw, keep_blank_values=True, errors="replace"))

    def joined(self) -> Mapping[str, str]:
        """The query as a function sees it: empty values dropped, repeated ones joined with a comma."""
        names: dict[str, str] = {}
        values: dict[str, list[str]] = {}
        for name, value in self._pairs:
            if value:
                key = names.setdefault(name.lower(), name)
                values.setdefault(key, []).append(value)
        return {name: ",".join(parts) for name, parts in values.items()}

    def all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, value in self._pairs if key.lower() == wanted]

    def as_sent(self, name: str) -> str | None:
        """The value, blank or not, several joined with a comma as .NET joins them; None if the name is not given."""
        return self._joined(name) if self.all(name) else None

    def text(self, name: str) -> str | None:
        """The value, as `as_sent` reads it; None if it is blank."""
        return self._joined(name) if self._joined(name).strip() else None

    def boolean(self, name: str, default: bool) -> bool:
        return {"true": True, "false": False}.get(self._joined(name).strip().lower(), default)

    def integer(self, name: str, default: int) -> int:
        text = self._joined(name).strip()
        number = int(text) if _INTEGER.fullmatch(text) else default
        return number if abs(number) <= _MAX_INT32 else default

    def seconds(self, name: str) -> float | None:
        """A duration; decimals are allowed, negative ones are not. Commas mean nothing, as for .NET."""
        text = self._joined(name).replace(",", "").strip()
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        return number if math.isfinite(number) else None

    def time(self, name: str) -> datetime | None:
        return read_time((self.text(name) or "").strip())

    def statuses(self, name: str) -> frozenset[RuntimeStatus]:
        """The statuses of a list with commas, of a repeated name, or of both; unknown ones are left out."""
        return frozenset(_STATUSES[word.lower()] for word in self._words(name) if word.lower() in _STATUSES)

    def readable_time(self, name: str) -> datetime | None:
        """The time of this name; None if it is not given.

        Raises:
            RequestError: 400, it is no time.
        """
        text, at = self.text(name), self.time(name)
        if text and at is None:
            raise RequestError(400, f"The {name} '{text}' is not a time, such as 2026-01-05T10:00:00Z.")
        return at

    def readable_statuses(self, name: str) -> frozenset[RuntimeStatus]:
        """The statuses of a list, as `statuses` reads it.

        Raises:
            RequestError: 400, a word names no status.
        """
        if unknown := [word for word in self._words(name) if word.lower() not in _STATUSES]:
            known = ", ".join(status.value for status in RuntimeStatus)
            raise RequestError(400, f"The {name} '{unknown[0]}' is none of {known}.")
        return self.statuses(name)

    def _joined(self, name: str) -> str:
        """The value of a name; several, joined, are no number, truth value or time."""
        return ",".join(self.all(name))

    def _words(self, name: str) -> list[str]:
        """The words of a list with commas, without blank ones."""
        return [word.strip() for value in self.all(name) for word in value.split(",") if word.strip()]
