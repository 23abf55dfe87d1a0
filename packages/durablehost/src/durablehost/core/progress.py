"""The progress that an orchestrator reports in its custom status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from durablehost.core.json_text import parse_or_text
from durablehost.types import JsonValue

# The members of a custom status that count something, and the word for what they count.
_COUNTED = (("chunks_done", "chunks_total", "chunks_failed", "chunks"), ("done", "total", "failed", ""))
_LONGEST_STATUS = 64 * 1024
_LONGEST_PHASE = 60
_LONGEST_TIME = 40


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`done` of `total` parts, of which `failed` have failed; none is below 0 or above `total`, which is above 0.

    `end` is the text of the time at which all may be done.
    """

    done: int
    total: int
    failed: int = 0
    unit: str = ""
    phase: str | None = None
    end: str | None = None

    def __str__(self) -> str:
        """`63 of 100, 2 failed`."""
        return f"{self.done} of {self.total}{f', {self.failed} failed' if self.failed else ''}"


def progress_of(custom_status: str | None) -> Progress | None:
    """What a custom status, which is JSON text, counts; None if it has no members such as `done` and `total`."""
    if not custom_status or len(custom_status) > _LONGEST_STATUS:
        return None
    status = parse_or_text(custom_status)
    if not isinstance(status, Mapping):
        return None
    for done_name, total_name, failed_name, unit in _COUNTED:
        done, total, failed = _count(status, done_name), _count(status, total_name), _count(status, failed_name)
        if done is not None and total:
            return Progress(
                done=min(done, total),
                total=total,
                failed=min(failed or 0, total),
                unit=unit,
                phase=_text(status.get("phase"), _LONGEST_PHASE),
                end=_text(status.get("estimated_end"), _LONGEST_TIME),
            )
    return None


def _count(status: Mapping[str, JsonValue], name: str) -> int | None:
    value = status.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: JsonValue, most: int) -> str | None:
    return value[:most] if isinstance(value, str) else None
