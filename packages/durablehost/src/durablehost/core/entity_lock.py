"""The lock of an entity: its holder, and the requests for it that were granted lately.

Lock requests and releases are delivered at least once. Granted again after its release, a lock would have no holder
that releases it. So each request is granted once, and a release of an earlier critical section has no effect. The
original grants a forwarded request each time; a real host that continues an entity ignores the granted requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from durablehost.core.entity_messages import EntityRequest, Release
from durablehost.core.event_check import is_int32
from durablehost.types import JsonValue

# A repetition comes soon after the first delivery, or after a restart of the host.
MOST_REMEMBERED = 50


class EntityLock:
    """`holder` is the instance id of an orchestration, or None."""

    def __init__(self, holder: str | None, granted: Mapping[str, Any] | None) -> None:
        """`granted` comes from `granted_to_json`. Raises `ValueError` if it does not."""
        self.holder = holder
        # The positions by request id, the oldest first.
        self._granted: dict[str, int] = dict(granted or {})
        if not all(map(is_int32, self._granted.values())):
            raise ValueError("the granted locks have no positions")

    def was_granted(self, request: EntityRequest) -> bool:
        return request.position <= self._granted.get(request.id, -1)

    def grant(self, request: EntityRequest) -> None:
        self.holder = request.parent
        self._granted.pop(request.id, None)
        self._granted[request.id] = request.position
        for id in list(self._granted)[:-MOST_REMEMBERED]:
            del self._granted[id]

    def release(self, release: Release) -> None:
        """Frees the lock if the release is of its holder, and not of an earlier critical section."""
        is_earlier = release.id in list(self._granted)[:-1]
        if release.parent == self.holder and not is_earlier:
            self.holder = None

    def granted_to_json(self) -> dict[str, JsonValue]:
        return dict(self._granted)
