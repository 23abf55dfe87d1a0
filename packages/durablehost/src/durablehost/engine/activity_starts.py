"""Remembers when this host began to run each activity: a history has the request and the result only.

In memory, and bounded: the instances that were used longest ago are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

_MOST = 100_000
_NONE: Mapping[int, datetime] = MappingProxyType({})


class ActivityStarts:
    """The times by instance id and task id; `most`: how many are kept in all."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._count = 0
        self._times: OrderedDict[str, dict[int, datetime]] = OrderedDict()

    def note(self, instance_id: str, task_id: int, at: datetime) -> None:
        """Replaces the time of an earlier attempt."""
        times = self._times.setdefault(instance_id, {})
        self._times.move_to_end(instance_id)
        self._count += task_id not in times
        times[task_id] = at
        while self._count > self._most and len(self._times) > 1:
            self._count -= len(self._times.popitem(last=False)[1])

    def of(self, instance_id: str) -> Mapping[int, datetime]:
        """The times of an instance by task id. Ids are used again by the next execution of the instance."""
        return self._times.get(instance_id, _NONE)
