"""Restores the order in which each sender sent its requests, and drops duplicates.

The sender stamps each request with a time and with the stamp of its previous request to the same entity. A request that
arrives before its predecessor waits, but only within the window: older requests are neither ordered nor checked for
duplicates. Nor are requests of clients, forwarded locks and scheduled requests. Mirrors MessageSorter of the extension.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from durablehost.core.entity_messages import EntityRequest, request_from_json, request_to_json
from durablehost.core.lineage import descends
from durablehost.core.ticks import NO_TIME, ticks_from_text, ticks_to_text
from durablehost.types import JsonValue

_KEPT_MEMBERS = ("LastSentToInstance", "SendHorizon")


class Sent(NamedTuple):
    """An earlier request; `is_answered`: its result has arrived, so the entity has processed it."""

    entity: str
    timestamp: int
    is_answered: bool = False


class Stamps:
    """The stamps of one execution's requests in an episode. `sent` are its earlier ones.

    `at` is the time of the episode in ticks, `count` the number of requests so far. Unlike in the original, a request
    has no predecessor that was answered: if the entity was purged meanwhile, it would wait for that one in vain.
    """

    def __init__(self, at: int, sent: Iterable[Sent] = ()) -> None:
        self.count = 0
        self.at = at
        self._last: dict[str, int] = {}
        self._unanswered: dict[str, int] = {}
        for entity, timestamp, is_answered in sent:
            self.count += 1
            self._last[entity] = timestamp
            self._unanswered[entity] = NO_TIME if is_answered else timestamp

    def next(self, entity: str) -> tuple[int, int]:
        """The timestamp of a request to this entity, and that of its predecessor."""
        self.count += 1
        predecessor = self._unanswered.get(entity, NO_TIME)
        timestamp = max(self.at, self._last.get(entity, NO_TIME) + 1)
        self._last[entity] = self._unanswered[entity] = timestamp
        return timestamp, predecessor


@dataclass(kw_only=True)
class _Sender:
    """The state of one sender; `waiting` are requests that arrived before their predecessors, by timestamp."""

    execution_id: str | None
    last: int = NO_TIME
    waiting: dict[int, EntityRequest] = field(default_factory=dict)

    @property
    def is_blank(self) -> bool:
        return self.last == NO_TIME and not self.waiting

    def take_next(self, horizon: int, waited_since: int = NO_TIME) -> EntityRequest | None:
        """The next request; None while its predecessor may still come, unless that is older than one of these times."""
        if not self.waiting:
            return None
        first = self.waiting[min(self.waiting)]
        if first.predecessor > self.last and first.predecessor >= max(horizon, waited_since):
            return None
        del self.waiting[first.timestamp]
        self.note(first, horizon)
        return first

    def note(self, request: EntityRequest, horizon: int) -> None:
        self.last = request.timestamp if request.timestamp >= horizon else NO_TIME


class Sorter:
    """The senders of one entity's requests. `window` is in ticks; 0 disables the sorting."""

    def __init__(self, document: Mapping[str, Any] | None, *, window: int) -> None:
        """`document` comes from `to_json` or from another host. Raises `ValueError`, `PoisonMessage`."""
        stored = document or {}
        self._window = window
        self._horizon = ticks_from_text(stored.get("ReceiveHorizon"))
        self._senders = {name: _sender_from_json(each) for name, each in _members(stored, "ReceivedFromInstance")}
        # The state of an entity that sends requests itself, as another host stores it: kept unchanged.
        self._kept = {name: stored[name] for name in _KEPT_MEMBERS if name in stored}

    def receive(self, request: EntityRequest) -> Iterator[EntityRequest]:
        """The requests to process, in order, now that this one has arrived."""
        if not self._window or not request.timestamp or request.parent is None or request.position:
            yield request
            return
        yield from self._advance(request.timestamp - self._window)
        if request.timestamp < self._horizon:
            yield request
            return
        sender = self._senders.setdefault(request.parent, _Sender(execution_id=request.parent_execution))
        if descends(sender.execution_id, request.parent_execution):
            # Late, and perhaps a duplicate: it must not reset the order of the current execution.
            yield request
            return
        if sender.execution_id != request.parent_execution:
            yield from (sender.waiting[at] for at in sorted(sender.waiting))
            sender = self._senders[request.parent] = _Sender(execution_id=request.parent_execution)
        if request.timestamp <= sender.last:
            return
        if request.predecessor > sender.last and request.predecessor >= self._horizon:
            sender.waiting[request.timestamp] = request
        else:
            sender.note(request, self._horizon)
            yield request
        yield from self._ready_from(sender)

    def expire(self, now: int) -> Iterator[EntityRequest]:
        """The requests that have waited for as long as the window, and those that waited for them.

        Unlike a later request, this moves no window: after a long pause, duplicates may come with the reminder.
        """
        for sender in self._senders.values():
            while request := sender.take_next(self._horizon, waited_since=now - self._window):
                yield request

    @property
    def is_waiting(self) -> bool:
        """Whether any request waits for its predecessor."""
        return any(sender.waiting for sender in self._senders.values())

    def _advance(self, horizon: int) -> Iterator[EntityRequest]:
        """Moves the window on and releases the requests that it leaves behind."""
        if horizon <= self._horizon:
            return
        self._horizon = horizon
        for name, sender in tuple(self._senders.items()):
            if sender.last < horizon:
                sender.last = NO_TIME
            yield from self._ready_from(sender)
            if sender.is_blank:
                del self._senders[name]

    def _ready_from(self, sender: _Sender) -> Iterator[EntityRequest]:
        while request := sender.take_next(self._horizon):
            yield request

    def to_json(self) -> dict[str, JsonValue]:
        """Defaults are left out."""
        out: dict[str, JsonValue] = dict(self._kept)
        if self._senders:
            out["ReceivedFromInstance"] = {name: _sender_to_json(sender) for name, sender in self._senders.items()}
        if self._horizon:
            out["ReceiveHorizon"] = ticks_to_text(self._horizon)
        return out


def _sender_from_json(document: Mapping[str, Any]) -> _Sender:
    waiting = [request_from_json(each) for _, each in _members(document, "Buffered")]
    return _Sender(
        execution_id=document.get("ExecutionId"),
        last=ticks_from_text(document.get("Last")),
        waiting={request.timestamp: request for request in waiting},
    )


def _sender_to_json(sender: _Sender) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {}
    if sender.last:
        out["Last"] = ticks_to_text(sender.last)
    if sender.execution_id is not None:
        out["ExecutionId"] = sender.execution_id
    if sender.waiting:
        out["Buffered"] = {ticks_to_text(at): request_to_json(sender.waiting[at]) for at in sorted(sender.waiting)}
    return out


def _members(document: Mapping[str, Any], name: str) -> Iterable[tuple[str, Any]]:
    return tuple((key, value) for key, value in (document.get(name) or {}).items() if key != "$type")
