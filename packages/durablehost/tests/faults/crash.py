"""One host that dies at a chosen moment of a run, and a second one that finishes it.

A client with a connection of its own starts the run, so it is accepted before the first host starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace

from durablehost.clock import SystemClock
from durablehost.emulator.azurite import Azurite
from durablehost.engine.ports import TaskHub
from durablehost.storage.account.connection import ConnectionString
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.contract.account import Account
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.faults.in_process import Chunks, assert_exact, engine_on, record_of, start_run
from packages.durablehost.tests.faults.proxy import Cut, Fault, Rule, StorageProxy, no_fault, open_proxy
from packages.durablehost.tests.faults.storage_call import Operation, StorageCall

FIRST, SECOND = "host-a", "host-b"
# The visibility timeout of the first host's messages; longer than an episode takes on a busy machine.
VISIBILITY_SECONDS = 2
CRASH_SECONDS = 180
# A request can be sent twice, and each of the two delivered twice.
MOST_REPEATED_PER_CHUNK = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The cost of a crash: activities that ran again. `has_crashed` is False if the run ended before the crash."""

    has_crashed: bool
    repeated: int
    calls: int = 0


@dataclass(kw_only=True)
class AtCall:
    """A rule that cuts the proxy at this request, counted from 1 over all requests or those of one operation."""

    number: int
    is_served: bool
    operation: Operation | None = None
    seen: int = 0
    hit: Operation | None = None

    def __call__(self, call: StorageCall) -> Fault | None:
        if self.operation not in (None, call.operation):
            return None
        self.seen += 1
        if self.seen != self.number:
            return None
        self.hit = call.operation
        return Cut(is_served=self.is_served, for_good=True)


def options_on(proxy: StorageProxy, hub_name: str, worker_id: str) -> StorageOptions:
    """The partitions of the first host are free as soon as it is dead, as after a kill on the same machine."""
    return StorageOptions(
        hub_name=hub_name,
        connection=ConnectionString(proxy.connection_string),
        partition_count=1,
        control_queue_visibility_seconds=VISIBILITY_SECONDS,
        work_item_visibility_seconds=VISIBILITY_SECONDS,
        max_polling_interval_seconds=0.5,
        worker_id=worker_id,
        is_abandoned_owner=lambda owner: owner == FIRST,
    )


@asynccontextmanager
async def dying_host(proxy: StorageProxy, options: StorageOptions, executor: Chunks) -> AsyncIterator[TaskHub]:
    """Runs a host whose proxy is cut before it stops, so that no step of its orderly end reaches storage."""
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.start()
        async with engine_on(hub, executor):
            yield hub
        proxy.is_down = True


async def crash_and_finish(
    azurite: Azurite,
    hub_name: str,
    rule: Rule = no_fault,
    *,
    chunks: int,
    letters: int = 0,
    stores_results: bool = False,
    on_chunk: Callable[[StorageProxy, int], None] = lambda proxy, chunk: None,
) -> Outcome:
    """Runs the chunks on a host whose proxy is cut by `rule` or `on_chunk`, then finishes them on a second host.

    With `stores_results` every result is a message of its own, like those of slow activities.
    """
    with closing(Account(azurite.connection_string, hub_name)) as account:
        async with open_proxy(azurite.ports) as proxy:
            executor = Chunks(lambda chunk: on_chunk(proxy, chunk))
            options = options_on(proxy, hub_name, FIRST)
            if stores_results:
                options = replace(options, longest_repeatable_seconds=-1)
            proxy.rule = rule
            async with open_task_hub(beside(azurite, options), SystemClock()) as client:
                await client.create()
                await start_run(client, "run", chunks, letters=letters)
                async with dying_host(proxy, options, executor):
                    await _until_down_or_ended(proxy, client, account)
                    has_crashed, calls = proxy.is_down, proxy.call_count
            # The proxy works again only after the first host has ended.
            proxy.rule, proxy.is_down = no_fault, False
            executor.on_chunk = lambda chunk: None
            await _finish(replace(options, worker_id=SECOND), executor, chunks, letters)
        assert executor.repeated <= MOST_REPEATED_PER_CHUNK * chunks
        account.delete_queues()
    return Outcome(has_crashed=has_crashed, repeated=executor.repeated, calls=calls)


def beside(azurite: Azurite, options: StorageOptions) -> StorageOptions:
    """Options of a client whose requests are not counted and not cut."""
    return replace(options, connection=ConnectionString(azurite.connection_string), worker_id="client")


async def _until_down_or_ended(proxy: StorageProxy, client: TaskHub, account: Account) -> None:
    async def is_over() -> bool:
        # The last episode deletes its messages after the record shows the end.
        return proxy.is_down or (await record_of(client, "run") is not None and not account.stored("-workitems"))

    await eventually(is_over, timeout_seconds=CRASH_SECONDS, interval_seconds=0.05)


async def _finish(options: StorageOptions, executor: Chunks, chunks: int, letters: int) -> None:
    async with open_task_hub(options, SystemClock()) as hub:
        await hub.start()
        async with engine_on(hub, executor):
            await assert_exact(hub, "run", chunks, letters=letters)
