"""What `durable watch` shows: the records of instances, each with its explanation, looked at again and again.

Rule of this file: watching costs the storage little. A look or an explanation that takes long is repeated less often;
an instance is explained again when its record has changed, or after a while, because its queues and leases may have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from durablehost.core.ids import is_entity_id
from durablehost.core.status import RuntimeStatus
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.explanation import Explanation
from durablehost.engine.ports import InstanceQuery, InstanceRecord
from durablehost.errors import RequestError
from durablehost.web.paging import read_page

_LARGEST_LISTING = 1000
_EXPLAIN_AGAIN_SECONDS = 3.0
# Listings may take this part of the time, and so may explanations.
_SHARE = 0.25
_UNFINISHED = frozenset(status for status in RuntimeStatus if not status.is_finished)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An instance as it was seen; its explanation may be a little older than its record, None if there is none yet."""

    record: InstanceRecord
    explanation: Explanation | None

    @property
    def essence(self) -> tuple[object, ...]:
        """What makes another look at the instance a change: not the words, which contain times."""
        record = self.record
        kinds = [reason.kind for reason in self.explanation.reasons] if self.explanation else []
        return record.execution_id, record.runtime_status, record.last_updated_at, record.custom_status, *kinds


@dataclass(frozen=True, kw_only=True)
class _Explained:
    version: tuple[object, ...]
    at: float
    explanation: Explanation | None


class Watcher:
    """Looks at one instance, or at those that match a query. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        client: OrchestrationClient,
        *,
        instance_id: str | None = None,
        query: InstanceQuery,
        most: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._instance_id = instance_id
        # Those that end meanwhile stay in view.
        self._query = query if query.statuses else replace(query, statuses=_UNFINISHED)
        self._most = most
        self._now = now
        self._known: dict[str, InstanceRecord] = {}
        self._explained: dict[str, _Explained] = {}
        self._explain_at = now()
        # How long to rest before the next look, in seconds.
        self.rest_seconds = 0.0

    async def look(self) -> list[Seen]:
        """The instances, newest first.

        Raises:
            RequestError: 404, there is no such instance.
        """
        began = self._now()
        records = await self._one(self._instance_id) if self._instance_id is not None else await self._matching()
        self.rest_seconds = _rest_after(self._now() - began)
        self._known = {record.instance_id: record for record in records}
        await self._explain(records)
        return [self._seen(record) for record in records]

    async def _one(self, instance_id: str) -> list[InstanceRecord]:
        record = await self._client.peek(instance_id)
        if record is None:
            raise RequestError(404, f"No instance with ID '{instance_id}' was found.")
        return [record]

    async def _matching(self) -> list[InstanceRecord]:
        records, _ = await read_page(
            lambda size, token: self._client.list(
                self._query, page_size=size, continuation_token=token, with_input=False
            ),
            _LARGEST_LISTING,
            None,
        )
        # Entities never end, and may be many.
        found = {record.instance_id: record for record in records if not is_entity_id(record.instance_id)}
        for instance_id in self._known.keys() - found.keys():
            if record := await self._client.peek(instance_id):
                found[instance_id] = record
        return sorted(found.values(), key=lambda record: record.created_at, reverse=True)[: self._most]

    async def _explain(self, records: Iterable[InstanceRecord]) -> None:
        began = self._now()
        is_allowed = began >= self._explain_at
        for record in records:
            if self._is_stale(record) and (is_allowed or record.runtime_status.is_finished):
                explanation = await self._client.explain(record.instance_id)
                version = _version(explanation.record if explanation else record)
                explained = _Explained(version=version, at=self._now(), explanation=explanation)
                self._explained[record.instance_id] = explained
        self._explained = {key: value for key, value in self._explained.items() if key in self._known}
        if is_allowed:
            self._explain_at = self._now() + _rest_after(self._now() - began)

    def _is_stale(self, record: InstanceRecord) -> bool:
        known = self._explained.get(record.instance_id)
        if known is None or known.version != _version(record):
            return True
        return not record.runtime_status.is_finished and self._now() - known.at >= _EXPLAIN_AGAIN_SECONDS

    def _seen(self, record: InstanceRecord) -> Seen:
        """Shows the newer record: an instance that has ended since must not look as if it ran."""
        known = self._explained.get(record.instance_id)
        explanation = known.explanation if known else None
        if explanation is not None and explanation.record.last_updated_at > record.last_updated_at:
            record = explanation.record
        return Seen(record=record, explanation=explanation)


def _rest_after(seconds_taken: float) -> float:
    """How long to rest, in seconds, after something that took so long."""
    return seconds_taken * (1 / _SHARE - 1)


def _version(record: InstanceRecord) -> tuple[object, ...]:
    return record.execution_id, record.runtime_status, record.last_updated_at
