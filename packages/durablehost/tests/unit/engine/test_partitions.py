"""The partitions that a host claims, keeps and gives up: every case of one pass, and passes over a shared table."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from durablehost.engine import partitions
from durablehost.engine.partitions import Lease, PartitionKeeper, Plan, Situation, plan
from durablehost.errors import LeaseLost, StorageUnavailable
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.hubs.memory import ManualClock

CLOCK = ManualClock()
NOW = CLOCK.now()
QUEUE = "shophub-control-00"
FREE = Lease(partition=QUEUE, version="1")
MINE = replace(FREE, current_owner="me", expires_at=NOW + timedelta(seconds=20))
THEIRS = replace(FREE, current_owner="rival", expires_at=NOW + timedelta(seconds=20))


def decide(
    lease: Lease, *, listening: bool = False, idle: bool = True, is_stopping: bool = False, gone: str = ""
) -> Plan:
    situation = Situation(
        worker_id="me",
        now=NOW,
        listening=frozenset({QUEUE} if listening else ()),
        idle=frozenset({QUEUE} if idle else ()),
        is_stopping=is_stopping,
    )
    return plan([lease], situation, lambda owner: owner == gone)


@pytest.mark.parametrize(
    ("lease", "gone"),
    [
        (FREE, ""),
        (replace(FREE, next_owner="me"), ""),
        (replace(THEIRS, expires_at=NOW), ""),
        (replace(FREE, next_owner="rival", expires_at=NOW), ""),
        (THEIRS, "rival"),
        (replace(FREE, next_owner="rival"), "rival"),
        (replace(THEIRS, expires_at=None), ""),
        (replace(THEIRS, expires_at=datetime.max.replace(tzinfo=timezone.utc)), ""),
    ],
)
def test_a_lease_that_is_free_expired_or_abandoned_is_claimed_for_a_minute(lease: Lease, gone: str) -> None:
    decided = decide(lease, gone=gone)
    assert decided.writes == (
        Lease(
            partition=QUEUE,
            version="1",
            current_owner="me",
            owned_since=NOW,
            last_renewal=NOW,
            expires_at=NOW + timedelta(minutes=1),
        ),
    )
    assert not decided.is_hasty


@pytest.mark.parametrize(
    "lease",
    [THEIRS, replace(FREE, next_owner="rival", expires_at=NOW + timedelta(seconds=1))],
)
def test_the_only_lease_of_a_live_host_is_left_alone(lease: Lease) -> None:
    assert decide(lease) == Plan(cease=frozenset(), writes=(), is_hasty=False)


def test_a_partition_that_this_host_has_asked_for_is_awaited() -> None:
    assert decide(replace(THEIRS, next_owner="me")) == Plan(cease=frozenset(), writes=(), is_hasty=True)


def test_a_partition_whose_owner_is_stopping_is_asked_for() -> None:
    decided = decide(replace(THEIRS, is_draining=True))
    assert decided.writes == (replace(THEIRS, is_draining=True, next_owner="me"),)
    assert decided.is_hasty


def test_a_stopping_host_withdraws_what_it_has_asked_for() -> None:
    asked = replace(THEIRS, next_owner="me")
    assert decide(asked, is_stopping=True).writes == (THEIRS,)
    assert decide(replace(asked, current_owner=None), is_stopping=True).writes == (replace(THEIRS, current_owner=None),)


@pytest.mark.parametrize(
    ("owners", "asked"),
    [
        ({"rival": 1}, 0),
        ({"rival": 4}, 2),
        ({"rival": 5}, 2),
        ({"rival": 3, "me": 2}, 0),
        ({"rival": 4, "me": 1}, 1),
        ({"rival": 2, "third": 2}, 1),
        ({"rival": 1, "third": 3}, 1),
        ({"rival": 2, "third": 1, "me": 1}, 0),
        ({"rival": 3, "third": 3}, 2),
        ({"rival": 4, "third": 3, "me": 2}, 1),
    ],
)
def test_a_host_asks_for_its_equal_share_of_those_that_have_more(owners: dict[str, int], asked: int) -> None:
    leases = [
        replace(THEIRS, partition=f"{owner}-{number}", current_owner=owner)
        for owner, count in owners.items()
        for number in range(count)
    ]
    decided = plan(leases, Situation(worker_id="me", now=NOW))
    wanted = [lease for lease in decided.writes if lease.next_owner == "me"]
    assert len(wanted) == asked
    assert len({lease.partition for lease in wanted}) == asked
    assert decided.is_hasty == bool(asked)


def test_what_another_host_has_asked_for_counts_as_its_own() -> None:
    leases = [replace(THEIRS, partition=str(number), next_owner="third" if number < 2 else None) for number in range(4)]
    decided = plan(leases, Situation(worker_id="me", now=NOW))
    assert [lease.next_owner for lease in decided.writes] == ["me"]


def test_an_own_lease_is_renewed_for_half_a_minute() -> None:
    decided = decide(MINE, listening=True)
    assert decided.writes == (replace(MINE, last_renewal=NOW, expires_at=NOW + timedelta(seconds=30)),)
    assert not decided.cease


def test_a_lease_left_draining_by_an_earlier_process_with_this_id_is_renewed() -> None:
    assert not decide(replace(MINE, is_draining=True)).writes[0].is_draining


def test_a_next_owner_that_is_gone_is_ignored() -> None:
    assert decide(replace(MINE, next_owner="rival"), gone="rival").writes[0].next_owner is None


def test_a_lost_lease_ends_listening_at_once() -> None:
    assert decide(THEIRS, listening=True).cease == {QUEUE}


def test_a_lease_with_a_next_owner_drains_while_messages_are_processed() -> None:
    decided = decide(replace(MINE, next_owner="rival"), listening=True, idle=False)
    assert decided.cease == {QUEUE}
    assert decided.is_hasty
    written = decided.writes[0]
    assert (written.current_owner, written.next_owner, written.is_draining) == ("me", "rival", True)
    assert written.expires_at == NOW + timedelta(seconds=30)


def test_a_drained_lease_goes_to_its_next_owner() -> None:
    written = decide(replace(MINE, next_owner="rival", is_draining=True), idle=True).writes[0]
    assert (written.current_owner, written.next_owner, written.is_draining) == (None, "rival", False)


def test_a_stopping_host_releases_its_own_and_claims_nothing() -> None:
    assert decide(MINE, listening=True, is_stopping=True).writes[0].current_owner is None
    assert decide(FREE, is_stopping=True).writes == ()


class LeaseList:
    """A lease store; two keepers on it are two hosts."""

    def __init__(self, count: int) -> None:
        self.leases = [Lease(partition=f"control-{number:02}", version="0") for number in range(count)]
        self.failures: list[Exception] = []
        self.reads = 0

    async def read_all(self) -> Sequence[Lease]:
        self.reads += 1
        return tuple(self.leases)

    async def replace(self, lease: Lease) -> None:
        if self.failures:
            raise self.failures.pop(0)
        index = next(i for i, each in enumerate(self.leases) if each.partition == lease.partition)
        if self.leases[index].version != lease.version:
            raise LeaseLost(lease.partition)
        self.leases[index] = replace(lease, version=str(int(lease.version) + 1))

    @property
    def owners(self) -> list[str | None]:
        return [lease.current_owner for lease in self.leases]


class Ears:
    """A listener that records its calls."""

    def __init__(self) -> None:
        self.listening: set[str] = set()
        self.busy: set[str] = set()

    def listen(self, partition: str) -> None:
        self.listening.add(partition)

    async def cease(self, partition: str) -> None:
        self.listening.discard(partition)

    def is_idle(self, partition: str) -> bool:
        return partition not in self.busy


class Host:
    def __init__(self, store: LeaseList, worker_id: str, clock: ManualClock, gone: str = "") -> None:
        self.ears = Ears()
        self.gone = gone
        self.keeper = PartitionKeeper(
            store, self.ears, clock, worker_id=worker_id, is_abandoned_owner=lambda owner: owner == self.gone
        )


async def test_a_single_host_claims_and_releases_all_partitions() -> None:
    store, clock = LeaseList(3), ManualClock()
    host = Host(store, "a", clock)
    await host.keeper.make_pass()
    assert store.owners == ["a", "a", "a"]
    assert host.ears.listening == {"control-00", "control-01", "control-02"}
    await host.keeper.release_all()
    assert store.owners == [None, None, None]
    assert host.ears.listening == set()


@pytest.mark.parametrize(("partitions", "hosts"), [(4, 2), (4, 3), (5, 2), (16, 3), (1, 2), (2, 4)])
async def test_hosts_that_start_one_after_the_other_share_the_partitions_evenly(partitions: int, hosts: int) -> None:
    store, clock = LeaseList(partitions), ManualClock()
    running = [Host(store, f"host-{number}", clock) for number in range(hosts)]
    for count in range(1, hosts + 1):
        for _ in range(2 * partitions):
            for host in running[:count]:
                await host.keeper.make_pass()
            clock.advance(1)
            assert max(Counter(name for host in running for name in host.ears.listening).values()) == 1
        shares = [len(host.ears.listening) for host in running[:count]]
        assert sum(shares) == partitions
        assert max(shares) - min(shares) <= 1
        assert sorted(shares) == sorted(Counter(store.owners)[f"host-{number}"] for number in range(count))


async def test_the_partitions_of_a_host_that_stops_are_shared_by_the_others() -> None:
    store, clock = LeaseList(4), ManualClock()
    running = [Host(store, name, clock) for name in "abc"]
    for _ in range(8):
        for host in running:
            await host.keeper.make_pass()
    await running[0].keeper.release_all()
    for _ in range(4):
        for host in running[1:]:
            await host.keeper.make_pass()
    assert Counter(store.owners) == {"b": 2, "c": 2}


async def test_a_second_host_takes_over_all_only_when_the_leases_have_expired() -> None:
    store, clock = LeaseList(1), ManualClock()
    first, second = Host(store, "a", clock), Host(store, "b", clock)
    await first.keeper.make_pass()
    await second.keeper.make_pass()
    assert store.owners == ["a"]
    clock.advance(60)
    await second.keeper.make_pass()
    assert store.owners == ["b"]
    await first.keeper.make_pass()
    assert first.ears.listening == set()
    assert second.ears.listening == {"control-00"}


async def test_a_lease_that_is_renewed_in_time_is_never_lost() -> None:
    store, clock = LeaseList(1), ManualClock()
    first, second = Host(store, "a", clock), Host(store, "b", clock)
    for _ in range(20):
        await first.keeper.make_pass()
        await second.keeper.make_pass()
        clock.advance(10)
    assert store.owners == ["a"]


async def test_the_leases_of_a_dead_process_are_taken_at_once() -> None:
    store, clock = LeaseList(2), ManualClock()
    await Host(store, "a", clock).keeper.make_pass()
    heir = Host(store, "b", clock, gone="a")
    await heir.keeper.make_pass()
    assert store.owners == ["b", "b"]


async def test_a_hurried_host_takes_the_leases_of_a_dead_process_before_its_next_pass() -> None:
    store, clock = LeaseList(1), ManualClock()
    await Host(store, "a", clock).keeper.make_pass()
    heir = Host(store, "b", clock, gone="nobody")
    running = asyncio.create_task(heir.keeper.run())
    try:
        await eventually(lambda: store.reads == 1)
        heir.gone = "a"
        heir.keeper.hurry()
        assert await eventually(lambda: store.owners == ["b"])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_partition_that_another_host_asks_for_is_handed_over_when_no_message_is_processed() -> None:
    store, clock = LeaseList(1), ManualClock()
    first, second = Host(store, "a", clock), Host(store, "b", clock)
    await first.keeper.make_pass()
    store.leases[0] = replace(store.leases[0], next_owner="b")
    first.ears.busy.add("control-00")
    assert await first.keeper.make_pass()
    assert first.ears.listening == set()
    await second.keeper.make_pass()
    assert store.owners == ["a"]
    first.ears.busy.clear()
    await first.keeper.make_pass()
    await second.keeper.make_pass()
    assert store.owners == ["b"]
    assert second.ears.listening == {"control-00"}


async def test_a_host_does_not_listen_to_what_it_failed_to_claim() -> None:
    store = LeaseList(1)
    host = Host(store, "a", ManualClock())
    store.failures = [LeaseLost("control-00")]
    with pytest.raises(LeaseLost):
        await host.keeper.make_pass()
    assert host.ears.listening == set()


async def test_releasing_tries_again_after_a_conflict_and_gives_up_without_storage() -> None:
    store = LeaseList(1)
    host = Host(store, "a", ManualClock())
    await host.keeper.make_pass()
    store.failures = [LeaseLost("control-00"), LeaseLost("control-00")]
    await host.keeper.release_all()
    assert store.owners == [None]
    await host.keeper.make_pass()
    store.failures = [StorageUnavailable("refused")]
    await host.keeper.release_all()
    assert store.owners == ["a"]


async def test_the_loop_of_passes_survives_unforeseen_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(partitions, "HASTY_PASS_SECONDS", 0.001)
    store = LeaseList(1)
    host = Host(store, "a", ManualClock())
    store.failures = [KeyError("a defect"), StorageUnavailable("refused"), TypeError("another defect")]
    running = asyncio.create_task(host.keeper.run())
    await eventually(lambda: store.owners == ["a"] or running.done())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert store.owners == ["a"]
    assert "a defect" in caplog.text
