"""The progress that an orchestrator reports in its custom status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# Pairs of members: the work that is done, and all work.
_MEMBERS = (("chunks_done", "chunks_total"), ("done", "total"))


@dataclass(frozen=True)
class Progress:
    """`done` of `total` parts; 0 <= done <= total, and total > 0."""

    done: int
    total: int


def progress_of(custom_status: str | None) -> Progress | None:
    """The progress in a custom status, which is JSON text; None if it reports none."""
    try:
        status = json.loads(custom_status or "null")
    except (ValueError, RecursionError):
        return None
    if not isinstance(status, dict):
        return None
    for done, total in _MEMBERS:
        if _is_count(status.get(done)) and _is_count(status.get(total)) and status[total] > 0:
            return Progress(min(status[done], status[total]), status[total])
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
