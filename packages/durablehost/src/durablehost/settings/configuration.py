"""Typed reading of host.json values, each of which an environment variable may override.

Keys compare without regard to case and every value knows where it came from, so that errors can name the place. Mirrors
.NET's IConfiguration, in which a file is a flat map of `a:b:c` to text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from durablehost.errors import ConfigurationError
from durablehost.types import JsonValue

OVERRIDE_PREFIX = "AzureFunctionsJobHost"

_TIME_SPAN = re.compile(r"(?:(\d{1,8})\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One value, its key as written, and the file or variable it stands in."""

    value: JsonValue
    key: str
    source: str

    def wrong(self, must_be: str) -> ConfigurationError:
        return ConfigurationError(f"{self.source}: {self.key} is {_shown(self.value)}; it must be {must_be}.")


class Configuration:
    """The values of host.json by dotted key, environment overrides applied."""

    def __init__(self, content: JsonValue, *, source: str, environment: Mapping[str, str]) -> None:
        self._entries = {entry.key.lower(): entry for entry in _flatten(content, source=source)}
        for entry in _overrides(environment):
            self._entries[entry.key.lower()] = entry

    def entry(self, *keys: str) -> Entry | None:
        """The entry of the first key that is set and not null.

        Raises:
            ConfigurationError: it has an object or an array instead of a single value.
        """
        for key in keys:
            entry = self._entries.get(key.lower())
            if entry is not None and entry.value is not None:
                return entry
            for member in self.below(key).values():
                raise ConfigurationError(f"{member.source}: {key} must be a single value, not an object or an array.")
        return None

    def members(self, key: str, *, must_be: str) -> Mapping[str, Entry]:
        """The entries of an object or an array, as of `below`.

        Raises:
            ConfigurationError: it is a single value, other than an empty text, as an environment variable may be.
        """
        entry = self._entries.get(key.lower())
        if entry is not None and entry.value not in (None, ""):
            raise entry.wrong(must_be)
        return self.below(key)

    def below(self, key: str) -> Mapping[str, Entry]:
        """The entries under a key that are not null, by what follows it, in lower case."""
        prefix = f"{key.lower()}."
        found = (item for item in self._entries.items() if item[0].startswith(prefix) and item[1].value is not None)
        return {name[len(prefix) :]: entry for name, entry in found}

    def text(self, *keys: str) -> str | None:
        """A string; a number or a boolean is taken for the text that .NET makes of it."""
        entry = self.entry(*keys)
        return None if entry is None else _as_text(entry.value)

    def texts(self, key: str) -> tuple[str, ...]:
        """The members of an array of strings."""
        found = self.members(key, must_be="an array of strings")
        items = sorted((int(index), entry) for index, entry in found.items() if index.isdecimal())
        return tuple(str(entry.value) for _, entry in items)

    def whole_number(self, key: str, *, default: int, low: int, high: int) -> int:
        entry = self.entry(key)
        if entry is None:
            return default
        number = _whole_number(entry.value)
        if number is None or not low <= number <= high:
            raise entry.wrong(f"a whole number from {low} to {high}")
        return number

    def flag(self, key: str, *, default: bool) -> bool:
        entry = self.entry(key)
        if entry is None:
            return default
        truth = _TRUTHS.get(str(entry.value).strip().lower())
        if truth is None:
            raise entry.wrong("true or false")
        return truth

    def seconds(self, key: str, *, default: float, low: float, high: float) -> float:
        """A duration written `hh:mm:ss`."""
        entry = self.entry(key)
        if entry is None:
            return default
        duration = parse_time_span(str(entry.value))
        if duration is None or not low <= duration <= high:
            raise entry.wrong(f'a duration "hh:mm:ss" from {format_time_span(low)} to {format_time_span(high)}')
        return duration


def parse_time_span(text: str) -> float | None:
    """Seconds of a .NET TimeSpan, `[d.]hh:mm[:ss[.fffffff]]`; None if the text is not one."""
    match = _TIME_SPAN.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups()[:4])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + float(f"0.{match.group(5) or 0}")


def format_time_span(seconds: float) -> str:
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    fraction = f"{seconds - whole:.3f}"[1:] if seconds != whole else ""
    return f"{days}.{clock}{fraction}" if days else f"{clock}{fraction}"


def _flatten(value: JsonValue, *, source: str, key: str = "") -> Iterator[Entry]:
    if isinstance(value, Mapping):
        members = value.items()
    elif isinstance(value, list):
        members = {str(index): item for index, item in enumerate(value)}.items()
    else:
        yield Entry(value=value, key=key, source=source)
        return
    for name, item in members:
        yield from _flatten(item, source=source, key=f"{key}.{name}" if key else name)


def _overrides(environment: Mapping[str, str]) -> Iterator[Entry]:
    for name, value in environment.items():
        first, *path = re.split(r"__|:", name)
        if path and first.lower() == OVERRIDE_PREFIX.lower():
            yield Entry(value=value, key=".".join(path), source=f"environment variable {name}")


def _whole_number(value: JsonValue) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    except ValueError:
        return None


def _as_text(value: JsonValue) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _shown(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value).lower()
