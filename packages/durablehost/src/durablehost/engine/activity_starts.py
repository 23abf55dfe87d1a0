"""Remembers what this host knows of activities and most histories do not have: when each began, and inputs that failed.

In memory, and bounded: the instances that were used longest ago are forgotten, and the oldest inputs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

_MOST = 100_000
_NONE: Mapping[int, datetime] = MappingProxyType({})
_MOST_INPUTS = 1_000
# In characters. Longer inputs are not kept.
_LONGEST_INPUT = 4_000


class ActivityStarts:
    """The times by instance id and task id; `most`: how many are kept in all."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._count = 0
        self._times: OrderedDict[str, dict[int, datetime]] = OrderedDict()
        self._inputs: OrderedDict[tuple[str, int], str] = OrderedDict()

    def note(self, instance_id: str, task_id: int, at: datetime) -> None:
        """Replaces the time of an earlier attempt."""
        times = self._times.setdefault(instance_id, {})
        self._times.move_to_end(instance_id)
        self._count += task_id not in times
        times[task_id] = at
        # Of this task of the execution before.
        self._inputs.pop((instance_id, task_id), None)
        while self._count > self._most and len(self._times) > 1:
            self._count -= len(self._times.popitem(last=False)[1])

    def of(self, instance_id: str) -> Mapping[int, datetime]:
        """The times of an instance by task id. Ids are used again by the next execution of the instance."""
        return self._times.get(instance_id, _NONE)

    def note_failure(self, instance_id: str, task_id: int, text: str | None) -> None:
        """Remembers the input of an activity that has failed: its request, which has it, is deleted."""
        if text is not None and len(text) <= _LONGEST_INPUT:
            self._inputs[instance_id, task_id] = text
            if len(self._inputs) > _MOST_INPUTS:
                self._inputs.popitem(last=False)

    def failed_inputs(self, instance_id: str) -> dict[int, str]:
        """The inputs of the activities of an instance that have failed, by task id, as requests store them."""
        return {task_id: text for (each, task_id), text in self._inputs.items() if each == instance_id}
