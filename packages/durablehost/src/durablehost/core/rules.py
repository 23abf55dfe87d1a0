"""Settings of an app that apply to every execution."""

from __future__ import annotations

import re
from dataclasses import dataclass

from durablehost.defaults import MAX_ORCHESTRATION_ACTIONS

_NUMBERS = re.compile(r"\d+(\.\d+){1,3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """`max_actions` limits the actions that one execution may schedule.

    `stores_inputs`: the inputs of activities and children are stored in the history, too, not only in their messages.
    `default_version` is the version of instances and children that are started without one; None: they have none.
    `matches_versions`: a real host leaves instances of later versions Pending.
    """

    max_actions: int = MAX_ORCHESTRATION_ACTIONS
    stores_inputs: bool = False
    default_version: str | None = None
    matches_versions: bool = True

    def runs_in_azure(self, version: str | None) -> bool:
        """Whether a real host runs instances of this version."""
        if not self.matches_versions or not version:
            return True
        return bool(self.default_version) and not _is_later(version, self.default_version or "")


def _is_later(version: str, other: str) -> bool:
    """Compares versions as a real host does: by their numbers, or as texts if either has others than numbers."""
    numbers = _NUMBERS.fullmatch(version), _NUMBERS.fullmatch(other)
    if all(numbers):
        return _numbers_of(version) > _numbers_of(other)
    return version.lower() > other.lower()


def _numbers_of(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


DEFAULT_RULES = Rules()
