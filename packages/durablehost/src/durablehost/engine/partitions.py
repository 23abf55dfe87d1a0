"""Decides which partitions this host listens to: a table of leases, the plan of one pass over it, the loop of passes.

The rule of this file: `plan` decides everything and does no I/O; the loop carries it out. Mirrors
DurableTask.AzureStorage.TablePartitionManager: a host claims free leases, gives up leases that another host asks for,
and asks for its equal share.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from durablehost.clock import Clock
from durablehost.errors import LeaseLost, StorageError
from durablehost.resilience import is_worth_a_line

PASS_SECONDS = 10.0
HASTY_PASS_SECONDS = 1.0
MAX_HASTY_FAILURES = 9
CLAIM_DURATION = timedelta(minutes=1)
LEASE_DURATION = timedelta(seconds=30)
# No host takes a longer lease, and no clock is that wrong: a longer one was not written by a host.
LONGEST_LEASE = timedelta(days=1)

_log = logging.getLogger("Host.Partitions")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The lease of a partition: its owner and its expiry; `next_owner` is the host that asks for it.

    `partition` is the name of its control queue. `version` changes with every write of the lease.
    """

    partition: str
    version: str
    current_owner: str | None = None
    next_owner: str | None = None
    owned_since: datetime | None = None
    last_renewal: datetime | None = None
    expires_at: datetime | None = None
    is_draining: bool = False


class LeaseStore(Protocol):
    """The leases of one task hub, shared with other hosts."""

    async def read_all(self) -> Sequence[Lease]:
        """All leases, in the order of their partitions."""

    async def replace(self, lease: Lease) -> None:
        """Writes a lease over the version it was read with.

        Raises:
            LeaseLost: another host has written it since. Nothing was written.
        """


class PartitionListener(Protocol):
    """Receives the messages of the partitions that this host owns."""

    def listen(self, partition: str) -> None:
        """Starts to receive; does nothing if it already does."""

    async def cease(self, partition: str) -> None:
        """Stops receiving and returns what was not handed out. Does nothing if it has ceased already."""

    def is_idle(self, partition: str) -> bool:
        """True if no message received from this partition is being processed."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The input of a pass, besides the leases."""

    worker_id: str
    now: datetime
    listening: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    is_stopping: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps of one pass: cease, then write, and listen to each written partition that this worker owns.

    `is_hasty`: the next pass is due soon, because a partition is being handed over from one host to another.
    """

    cease: frozenset[str]
    writes: tuple[Lease, ...]
    is_hasty: bool


def plan(
    leases: Sequence[Lease], situation: Situation, is_abandoned_owner: Callable[[str], bool] = lambda owner: False
) -> Plan:
    """Plans a pass over the leases as they were read."""
    draft = _Draft(situation, is_abandoned_owner)
    for lease in leases:
        if lease.current_owner == situation.worker_id:
            draft.decide_on_own(lease)
        else:
            draft.decide_on_other(lease)
    draft.ask_for_share(len(leases))
    return Plan(cease=frozenset(draft.cease), writes=tuple(draft.writes), is_hasty=draft.is_hasty)


@dataclass
class _Draft:
    """A plan in the making; `own_count` and `of_others` tell how the partitions are shared, as far as hosts agree."""

    situation: Situation
    is_abandoned_owner: Callable[[str], bool]
    cease: set[str] = field(default_factory=set)
    writes: list[Lease] = field(default_factory=list)
    is_hasty: bool = False
    own_count: int = 0
    of_others: dict[str | None, list[Lease]] = field(default_factory=dict)

    def decide_on_own(self, lease: Lease) -> None:
        if _must_go(lease, self.situation, self.is_abandoned_owner):
            self.cease.add(lease.partition)
            self.writes.append(_drained(lease, self.situation))
            self.is_hasty = True
        else:
            self.own_count += 1
            self.writes.append(_renewed(lease, self.situation))

    def decide_on_other(self, lease: Lease) -> None:
        if lease.partition in self.situation.listening:
            self.cease.add(lease.partition)
        is_asked_for = lease.next_owner == self.situation.worker_id
        if self.situation.is_stopping:
            if is_asked_for:
                self.writes.append(replace(lease, next_owner=None))
        elif _is_claimable(lease, self.situation, self.is_abandoned_owner):
            self.own_count += 1
            self.writes.append(_claimed(lease, self.situation))
        elif is_asked_for:
            self.own_count += 1
            self.is_hasty = True
        elif lease.is_draining and lease.next_owner is None:
            # Its owner is stopping.
            self._ask_for(lease)
        else:
            self.of_others.setdefault(lease.next_owner or lease.current_owner, []).append(lease)

    def ask_for_share(self, partition_count: int) -> None:
        for lease in _missing_share(partition_count, self.own_count, self.of_others.values()):
            self._ask_for(lease)

    def _ask_for(self, lease: Lease) -> None:
        self.writes.append(replace(lease, next_owner=self.situation.worker_id))
        self.is_hasty = True


def _missing_share(partition_count: int, own_count: int, of_others: Collection[Sequence[Lease]]) -> Iterator[Lease]:
    """The leases to ask for: what is missing to an equal share, from hosts that have more than that.

    If the partitions cannot be divided evenly, also one more from a host that would otherwise have two more.
    """
    share = partition_count // (len(of_others) + 1)
    for leases in of_others:
        surplus = len(leases) - share
        missing = share - own_count
        if missing == 0 and surplus > 1:
            missing = 1
        asked_for = leases[: max(min(missing, surplus), 0)]
        own_count += len(asked_for)
        yield from asked_for


def _must_go(lease: Lease, situation: Situation, is_abandoned_owner: Callable[[str], bool]) -> bool:
    wanted_by = lease.next_owner
    return situation.is_stopping or (wanted_by is not None and not is_abandoned_owner(wanted_by))


def _is_claimable(lease: Lease, situation: Situation, is_abandoned_owner: Callable[[str], bool]) -> bool:
    if lease.current_owner is None and lease.next_owner in (None, situation.worker_id):
        return True
    if not is_held_at(lease, situation.now):
        return True
    awaited = lease.current_owner or lease.next_owner
    return awaited is not None and is_abandoned_owner(awaited)


def is_held_at(lease: Lease, now: datetime) -> bool:
    """True if a lease that has an owner or a next owner is valid. No host writes one without an expiry."""
    if lease.expires_at is None:
        return lease.current_owner is None
    return now < lease.expires_at <= now + LONGEST_LEASE


def _claimed(lease: Lease, situation: Situation) -> Lease:
    return replace(
        lease,
        current_owner=situation.worker_id,
        next_owner=None,
        owned_since=situation.now,
        last_renewal=situation.now,
        expires_at=situation.now + CLAIM_DURATION,
        is_draining=False,
    )


def _renewed(lease: Lease, situation: Situation) -> Lease:
    # A next owner that is still set is gone; a draining mark is from an earlier process with this worker id.
    return replace(
        lease,
        next_owner=None,
        last_renewal=situation.now,
        expires_at=situation.now + LEASE_DURATION,
        is_draining=False,
    )


def _drained(lease: Lease, situation: Situation) -> Lease:
    if lease.partition in situation.idle:
        return replace(lease, current_owner=None, is_draining=False)
    return replace(lease, last_renewal=situation.now, expires_at=situation.now + LEASE_DURATION, is_draining=True)


class PartitionKeeper:
    """Keeps the leases of one host: claims, renews and releases them, and listens to its partitions."""

    def __init__(
        self,
        store: LeaseStore,
        listener: PartitionListener,
        clock: Clock,
        *,
        worker_id: str,
        is_abandoned_owner: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._listener = listener
        self._clock = clock
        self._worker_id = worker_id
        self._is_abandoned_owner = is_abandoned_owner
        self._listening: set[str] = set()
        self._failures = 0
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Makes the next pass begin at once."""
        self._hurried.set()

    async def run(self) -> None:
        """Makes passes until cancelled."""
        failures = 0
        while True:
            self._hurried.clear()
            try:
                is_hasty = await self.make_pass()
                failures = self._failures = 0
            except LeaseLost:
                failures += 1
                if failures <= MAX_HASTY_FAILURES:
                    continue
                is_hasty, failures = False, 0
            except Exception as error:
                self._notice_failure(error)
                is_hasty = True
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), HASTY_PASS_SECONDS if is_hasty else PASS_SECONDS)

    def _notice_failure(self, error: Exception) -> None:
        self._failures += 1
        if is_worth_a_line(self._failures):
            defect = None if isinstance(error, StorageError) else error
            _log.warning("The partition leases cannot be read or renewed: %s", error, exc_info=defect)

    async def release_all(self, *, attempts: int = 10) -> None:
        """Stops listening and releases every partition; called when no message is being processed any more.

        A lease that cannot be released expires.
        """
        for _ in range(attempts):
            try:
                await self.make_pass(is_stopping=True)
            except LeaseLost:
                continue
            except Exception as error:
                _log.warning("The partition leases cannot be released: %r", error)
            return

    async def make_pass(self, *, is_stopping: bool = False) -> bool:
        """Reads all leases once and carries out the plan; returns whether the next pass is urgent.

        Raises:
            LeaseLost: another host has written one of the leases meanwhile; to be repeated.
        """
        leases = await self._store.read_all()
        decided = plan(leases, self._situation(leases, is_stopping), self._is_abandoned_owner)
        for partition in decided.cease:
            await self._listener.cease(partition)
            self._listening.discard(partition)
        for lease in decided.writes:
            await self._store.replace(lease)
            if lease.current_owner == self._worker_id and not lease.is_draining:
                self._listener.listen(lease.partition)
                self._listening.add(lease.partition)
        return decided.is_hasty

    def _situation(self, leases: Sequence[Lease], is_stopping: bool) -> Situation:
        return Situation(
            worker_id=self._worker_id,
            now=self._clock.now(),
            listening=frozenset(self._listening),
            idle=frozenset(lease.partition for lease in leases if self._listener.is_idle(lease.partition)),
            is_stopping=is_stopping,
        )
