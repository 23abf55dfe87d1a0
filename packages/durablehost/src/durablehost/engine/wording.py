"""Times, durations and lists as words of an explanation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

_MOST_LISTED = 3
_LONGEST_TEXT = 200
_NO_TEXT = "One or more errors occurred. (Result: Failure"
_RAISED = "Exception: "
_ORDINALS = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def moment(at: datetime, now: datetime) -> str:
    """A time in UTC; with its date if that is not today."""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def moment_and_distance(at: datetime, now: datetime) -> str:
    """A time, and how far away it is: `12:00:31 UTC (in 4 s)`."""
    seconds = (at - now).total_seconds()
    distance = f"in {duration(seconds)}" if seconds >= 0 else f"{duration(-seconds)} ago"
    return f"{moment(at, now)} ({distance})"


def duration(seconds: float) -> str:
    """A duration in the largest unit of which there are at least two."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def listed(items: Sequence[str], *, most: int = _MOST_LISTED) -> str:
    """`a`, `a and b`, `a, b and c`, or `a, b, c and 7 more`."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most} more")
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)


def quoted(text: str) -> str:
    return f"'{shortened(text)}'"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 message`, `2 messages`; `many` is the plural if it does not end in `s` alone."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def ordinal(number: int) -> str:
    return _ORDINALS[number] if number < len(_ORDINALS) else f"{number}th"


def shortened(text: str) -> str:
    """The text on one line, cut after some 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT].rstrip()} ..."


def sentence(text: str) -> str:
    """The text with a full stop, unless it has one."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def failure_line(text: str) -> str:
    """The first line of an error that says something, without the words around it that every error has."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no text"
    if lines[0].endswith(_NO_TEXT):
        raised = next((line for line in lines if line.startswith(_RAISED)), None)
        if raised is not None:
            return shortened(lines[0].removesuffix(_NO_TEXT) + raised.removeprefix(_RAISED))
    return shortened(lines[0])
