"""Which partitions this host listens to: a table of leases, one pass over it as a value, and the loop of passes.

Rule of this file: `plan` decides everything and does nothing; the loop does what it says. Mirrors
DurableTask.AzureStorage.TablePartitionManager, for a host that is alone as a rule: it takes what is free, gives up
what another host asks for, and asks nobody for anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from devhost.clock import Clock
from devhost.errors import LeaseLost, StorageError
from devhost.resilience import is_worth_a_line

PASS_SECONDS = 10.0
HASTY_PASS_SECONDS = 1.0
MAX_HASTY_FAILURES = 9
CLAIM_DURATION = timedelta(minutes=1)
LEASE_DURATION = timedelta(seconds=30)
# No host takes one for longer, and no clock is so wrong: what says so was not written by a host.
LONGEST_LEASE = timedelta(days=1)

_log = logging.getLogger("Host.Partitions")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who listens to a partition, and until when; `next_owner` is who wants it next.

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
            LeaseLost: somebody else has written it since. Nothing was written.
        """


class PartitionListener(Protocol):
    """What receives the messages of the partitions that are held."""

    def listen(self, partition: str) -> None:
        """Begins to receive; does nothing where it does already."""

    async def cease(self, partition: str) -> None:
        """Ends receiving and gives back what was not handed out. Does nothing where it has ceased already."""

    def is_idle(self, partition: str) -> bool:
        """Whether nothing that was received from this partition is in anybody's hands."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a pass has to know beside the leases."""

    worker_id: str
    now: datetime
    listening: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    is_stopping: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one pass does, in this order: cease, then write; where this worker owns what was written it listens.

    `is_hasty`: the next pass is due soon, because a partition is on its way to another host.
    """

    cease: frozenset[str]
    writes: tuple[Lease, ...]
    is_hasty: bool


def plan(
    leases: Sequence[Lease], situation: Situation, is_abandoned_owner: Callable[[str], bool] = lambda owner: False
) -> Plan:
    """What to do about the leases as they were read."""
    cease = set()
    writes = []
    is_hasty = False
    for lease in leases:
        if lease.current_owner == situation.worker_id:
            if _must_go(lease, situation, is_abandoned_owner):
                cease.add(lease.partition)
                is_hasty = True
                writes.append(_drained(lease, situation))
            else:
                writes.append(_renewed(lease, situation))
            continue
        if lease.partition in situation.listening:
            cease.add(lease.partition)
        if not situation.is_stopping and _is_claimable(lease, situation, is_abandoned_owner):
            writes.append(_claimed(lease, situation))
    return Plan(cease=frozenset(cease), writes=tuple(writes), is_hasty=is_hasty)


def _must_go(lease: Lease, situation: Situation, is_abandoned_owner: Callable[[str], bool]) -> bool:
    wanted_by = lease.next_owner
    return situation.is_stopping or (wanted_by is not None and not is_abandoned_owner(wanted_by))


def _is_claimable(lease: Lease, situation: Situation, is_abandoned_owner: Callable[[str], bool]) -> bool:
    if lease.current_owner is None and lease.next_owner in (None, situation.worker_id):
        return True
    if not _is_held_at(lease, situation.now):
        return True
    awaited = lease.current_owner or lease.next_owner
    return awaited is not None and is_abandoned_owner(awaited)


def _is_held_at(lease: Lease, now: datetime) -> bool:
    """Whether a lease with an owner, or with one to come, is to be respected. No host writes one without an end."""
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
    # A next owner is still here only if its process is gone; a draining mark is from an earlier process of this id.
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
    """Keeps the leases of one host: claims, renews and releases them, and says which partitions to listen to."""

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
        """Passes until cancelled."""
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
        """Ceases to listen and gives every partition back; called when nothing is in anybody's hands any more.

        What cannot be given back is free when its lease expires.
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
        """Reads all leases once and does what `plan` says; returns whether the next pass is urgent.

        Raises:
            LeaseLost: another host has written one of the leases meanwhile; read again.
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
