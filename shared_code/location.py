"""Reads the app settings READINGS and RESULTS: where readings are, as a pattern of names, and where results go.

The rule of this file: a location never contains a credential, so that messages, results and logs may repeat it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from shared_code.instants import to_microseconds
from shared_code.windows import Window

READINGS: Final = "READINGS"
READINGS_CONNECTION: Final = "READINGS_CONNECTION"
RESULTS: Final = "RESULTS"
RESULTS_CONNECTION: Final = "RESULTS_CONNECTION"
SYNTHETIC: Final = "synthetic"

_AZURE: Final = "az"
# Other ways to name a blob: scheme://container@account/path, and the URL of an account.
_OF_HADOOP: Final = frozenset({"abfs", "abfss", "wasb", "wasbs"})
_ACCOUNT: Final = re.compile(r"[^/]+\.(?:blob|dfs)\.[^/]+")
# A query or a fragment, where a shared access signature would be. A ? that no `name=` follows is a wildcard.
_QUERY: Final = re.compile(r"[?#][\w.%-]*=|[?&#]sig=", re.IGNORECASE)
_CONTAINER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web|\$logs")
# The parts of a date in a location, from coarse to fine, with their number of digits.
_DATE_PARTS: Final = {"yyyy": 4, "MM": 2, "dd": 2, "HH": 2}
_DATE_PART: Final = re.compile(r"\{(yyyy|MM|dd|HH)\}")
# What people write for them, in other formats of dates; elsewhere it is part of a name.
_LIKE_A_DATE_PART: Final = re.compile(r"\{(?:y+|m+|d+|h+)\}", re.IGNORECASE)
_GLOB: Final = re.compile(r"[*?\[]")
_WILDCARD: Final = re.compile(r"[*?]")


class LocationError(Exception):
    """A setting names no place; the message never contains a credential."""


@dataclass(frozen=True, kw_only=True)
class Location:
    """A pattern of names: of blobs in `container`, or of local files if that is None.

    `*` and `?` match within a folder, `**` matches folders, `[...]` one of several characters. `{yyyy}`, `{MM}`, `{dd}`
    and `{HH}` are the year, month, day and hour (UTC) of all readings in a file. A pattern with dates but no wildcards
    names files or folders.
    """

    text: str
    pattern: str
    container: str | None = None

    @property
    def is_glob(self) -> bool:
        return bool(_GLOB.search(self.pattern) or self.has_dates)

    @property
    def has_dates(self) -> bool:
        return bool(_DATE_PART.search(self.pattern))

    @property
    def has_dated_folders(self) -> bool:
        return self.has_dates and not _GLOB.search(self.pattern)

    def narrowed(self, window: Window) -> str:
        """The pattern as a glob without dates: each part that all instants of the window share is filled in."""
        first, last = window.start, window.end - timedelta(microseconds=1)
        values, is_shared = {}, True
        for part, (one, other) in _parts_of(first, last).items():
            is_shared = is_shared and one == other
            values[part] = one if is_shared else "[0-9]" * _DATE_PARTS[part]
        return _DATE_PART.sub(lambda match: values[match[1]], self.pattern)

    def fixed_part(self, window: Window) -> str:
        """The longest beginning that all names of the window's files share."""
        return _GLOB.split(self.narrowed(window), maxsplit=1)[0]

    def matcher(self) -> re.Pattern[str]:
        """Matches the whole name of a file; the group `inside`, if there is one, is its name in a folder of a date."""
        if self.has_dated_folders:
            return re.compile(_to_regex(self.pattern.rstrip("/")) + "(?:/(?P<inside>.*))?")
        return re.compile(_to_regex(self.pattern))

    def may_contain(self, match: re.Match[str], window: Window) -> bool:
        """Whether the file can have readings of the window, by the date in its name."""
        dated = {part: int(match[part]) for part in _DATE_PARTS if part in match.re.groupindex}
        if not dated:
            return True
        try:
            start, end = _period(dated)
        except (ValueError, OverflowError):
            return True  # no date of the calendar, so it says nothing
        return start < to_microseconds(window.end) and end > to_microseconds(window.start)


def parse_location(text: str, setting: str = READINGS) -> Location:
    """The location that a setting names.

    Raises:
        LocationError: a form that the app does not read, or one with a credential.
    """
    scheme, separator, rest = text.partition("://")
    if _QUERY.search(text):
        raise _refused(
            setting,
            text,
            f"must be without a query; a shared access signature is for the setting that {setting}_CONNECTION names",
        )
    if not separator:
        return _dated(setting, Location(text=text, pattern=text))
    container, _, path = rest.partition("/")
    if scheme in _OF_HADOOP or (scheme == "https" and _ACCOUNT.fullmatch(container)):
        named = container.partition("@")[0]
        if scheme == "https":
            named, _, path = path.partition("/")
        instead = f": write az://{named}/{path}" if _CONTAINER.fullmatch(named) else ""
        reason = f"must begin with az://, and {setting}_CONNECTION names the account{instead}"
        raise _refused(setting, text, reason, show=False)
    if scheme != _AZURE or not container or not path or "@" in container:
        special = f"'{SYNTHETIC}', " if setting == READINGS else ""
        raise _refused(setting, text, f"must be {special}az://container/path or a path")
    if not _CONTAINER.fullmatch(container):
        instead = f": write az://{container.lower()}/{path}" if _CONTAINER.fullmatch(container.lower()) else ""
        reason = f"must name a container, which has lower-case letters, digits and hyphens{instead}"
        raise _refused(setting, text, reason)
    return _dated(setting, Location(text=text, pattern=path, container=container))


def parse_folder(text: str, setting: str) -> Location:
    """The one folder that a setting names.

    Raises:
        LocationError: as `parse_location`, or a pattern.
    """
    location = parse_location(text, setting)
    parts = location.pattern.strip("/").split("/")
    # In a URL, . and .. are no names of folders.
    is_none = parts == [""] or not {".", ".."}.isdisjoint(parts)
    if (location.container is not None and is_none) or location.has_dates or _WILDCARD.search(location.pattern):
        raise _refused(setting, text, "must name one folder, without wildcards and dates")
    return location


def _refused(setting: str, text: str, reason: str, *, show: bool = True) -> LocationError:
    shown = f": {_without_secret(text)}" if show else ""
    return LocationError(f"the app setting {setting} {reason}{shown}")


def _without_secret(text: str) -> str:
    """The location without user, password, query and fragment, where a key or a signature would be."""
    scheme, separator, rest = re.split(r"[?#]", text, maxsplit=1)[0].rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2] if separator else rest}"


def _dated(setting: str, location: Location) -> Location:
    unknown = [each for each in _LIKE_A_DATE_PART.findall(location.pattern) if not _DATE_PART.fullmatch(each)]
    if unknown and setting == READINGS:
        raise LocationError(
            f"the app setting {setting} can have {{yyyy}}, {{MM}}, {{dd}} and {{HH}}, but not {unknown[0]}"
            f" (in a name, write [{{]{unknown[0][1:]}): {location.text}"
        )
    parts = [match[1] for match in _DATE_PART.finditer(location.pattern)]
    if sorted(set(parts)) != sorted(list(_DATE_PARTS)[: len(set(parts))]):
        raise LocationError(
            f"the app setting {setting} needs {{yyyy}} for {{MM}}, {{MM}} for {{dd}}, and {{dd}} for {{HH}}:"
            f" {location.text}"
        )
    return location


def _parts_of(*instants: datetime) -> dict[str, list[str]]:
    utc = [at.astimezone(timezone.utc) for at in instants]
    return {
        "yyyy": [f"{at.year:04}" for at in utc],
        "MM": [f"{at.month:02}" for at in utc],
        "dd": [f"{at.day:02}" for at in utc],
        "HH": [f"{at.hour:02}" for at in utc],
    }


def _period(dated: dict[str, int]) -> tuple[int, int]:
    """The microseconds from and to which the readings of a file with this date are."""
    year, month, day, hour = (dated.get(part, least) for part, least in zip(_DATE_PARTS, (1, 1, 1, 0), strict=True))
    start = to_microseconds(datetime(year, month, day, hour, tzinfo=timezone.utc))
    if "dd" in dated:
        return start, start + (3_600_000_000 if "HH" in dated else 86_400_000_000)
    year, month = (year, month + 1) if "MM" in dated and month < 12 else (year + 1, 1)
    return start, to_microseconds(datetime(year, month, 1, tzinfo=timezone.utc))


def _to_regex(pattern: str) -> str:
    regex, at, seen = "", 0, set[str]()
    while at < len(pattern):
        rest = pattern[at:]
        date = _DATE_PART.match(rest)
        group = re.match(r"\[(!?)(\]?[^\]]*)\]", rest)
        if rest.startswith("**/"):
            regex, at = regex + "(?:.*/)?", at + 3
        elif rest.startswith("**"):
            regex, at = regex + ".*", at + 2
        elif date:
            digits = rf"\d{{{_DATE_PARTS[date[1]]}}}"
            regex += f"(?P={date[1]})" if date[1] in seen else f"(?P<{date[1]}>{digits})"
            seen.add(date[1])
            at += date.end()
        elif group:
            inside = group[2].replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
            regex, at = f"{regex}[{'^' if group[1] else ''}{inside}]", at + group.end()
        else:
            regex += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1
    return regex
