"""The rows of the crash table: where a host dies, the words of the documentation, and how the test causes it.

Rule of this file: docs/durability.md shows these words, written by the tests; change them here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest

from durablehost.clock import SystemClock
from durablehost.emulator.azurite import Azurite
from durablehost.engine.ports import TaskHub
from durablehost.errors import StorageUnavailable
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.faults.crash import FIRST, SECOND, AtCall, Outcome, beside, crash_and_finish, options_on
from packages.durablehost.tests.faults.in_process import Chunks, assert_exact, engine_on, start_run
from packages.durablehost.tests.faults.proxy import StorageProxy, open_proxy
from packages.durablehost.tests.faults.storage_call import Operation

CHUNKS = 30
# More events than fit into one transaction of the history.
MANY_CHUNKS = 120

Crash = Callable[[Azurite, str], Awaitable[Outcome]]


@dataclass(frozen=True, kw_only=True)
class CrashCase:
    """One row; `run` crashes a host at this point and finishes on another one, in a hub of the given name."""

    crash: str
    stored: str
    next: str
    repeats: str
    run: Crash


async def _at(
    azurite: Azurite,
    hub_name: str,
    *,
    operation: Operation,
    number: int = 1,
    chunks: int = CHUNKS,
    stores_results: bool = False,
) -> Outcome:
    """Crashes right before this request reaches storage."""
    rule = AtCall(operation=operation, number=number, is_served=False)
    return await crash_and_finish(azurite, hub_name, rule, chunks=chunks, stores_results=stores_results)


async def _while_an_activity_runs(azurite: Azurite, hub_name: str) -> Outcome:
    def die(proxy: StorageProxy, chunk: int) -> None:
        proxy.is_down = proxy.is_down or chunk == CHUNKS // 2

    return await crash_and_finish(azurite, hub_name, chunks=CHUNKS, on_chunk=die)


async def _start_cut_at_its_row(azurite: Azurite, hub_name: str, *, is_served: bool) -> Outcome:
    """Crashes a host while it starts an instance; the client gets no answer and repeats the start on the next host."""
    async with open_proxy(azurite.ports) as proxy:
        options, executor = options_on(proxy, hub_name, FIRST), Chunks()
        async with open_task_hub(beside(azurite, options), SystemClock()) as client:
            await client.create()
        async with open_task_hub(options, SystemClock()) as dying:
            proxy.rule = AtCall(operation=Operation.WRITE_RECORD, number=1, is_served=is_served)
            with pytest.raises(StorageUnavailable):
                await start_run(dying, "run", CHUNKS)
        proxy.is_down = False
        async with open_task_hub(replace(options, worker_id=SECOND), SystemClock()) as second:
            await second.start()
            if not is_served:
                await start_run(second, "run", CHUNKS)
            async with engine_on(second, executor):
                await assert_exact(second, "run", CHUNKS)
    return Outcome(has_crashed=True, repeated=executor.repeated)


async def _purge_cut(azurite: Azurite, hub_name: str) -> Outcome:
    """Crashes a host just before a purge deletes the row of the instance, its last step."""
    async with open_proxy(azurite.ports) as proxy:
        options, executor = options_on(proxy, hub_name, FIRST), Chunks()
        async with open_task_hub(options, SystemClock()) as first:
            await first.create()
            await first.start()
            async with engine_on(first, executor):
                await start_run(first, "run", CHUNKS)
                await assert_exact(first, "run", CHUNKS)
            proxy.rule = AtCall(operation=Operation.WRITE_RECORD, number=1, is_served=False)
            with pytest.raises(StorageUnavailable):
                await first.purge_instance("run")
        proxy.is_down = False
        async with open_task_hub(replace(options, worker_id=SECOND), SystemClock()) as second:
            await _assert_half_purged(second)
            assert await second.purge_instance("run")
            assert await second.get_instance("run") is None
    return Outcome(has_crashed=True, repeated=executor.repeated)


async def _assert_half_purged(hub: TaskHub) -> None:
    assert await hub.read_history("run") == ()
    assert await hub.get_instance("run") is not None


CASES = (
    CrashCase(
        crash="before 1",
        stored="nothing",
        next="the messages become visible again; the episode runs as if for the first time",
        repeats="the orchestrator code",
        run=partial(_at, operation=Operation.SEND_REQUEST),
    ),
    CrashCase(
        crash="within 1",
        stored="some messages of the outbox",
        next="as before 1; the outbox is sent again. If more messages have come meanwhile, it may give its task ids to "
        "other work; a task takes only the result of its own request",
        repeats="activities may run twice: only one result counts. A child start that is sent twice has one execution "
        "id, so the second one is dropped",
        run=partial(_at, operation=Operation.SEND_REQUEST, number=CHUNKS // 2),
    ),
    CrashCase(
        crash="after 1",
        stored="the whole outbox",
        next="as within 1; results that arrive before the history records their requests wait for it",
        repeats="as within 1",
        run=partial(_at, operation=Operation.WRITE_HISTORY),
    ),
    CrashCase(
        crash="within 2, between two transactions",
        stored="the first events of the episode; the history ends without an `OrchestratorCompleted`",
        next="this open episode is finished first: the orchestrator runs over the recorded events, and its further "
        "actions are sent and recorded. Then the messages are processed; those whose events are in the history already "
        "are dropped",
        repeats="as within 1",
        run=partial(_at, operation=Operation.WRITE_HISTORY, number=2, chunks=MANY_CHUNKS),
    ),
    CrashCase(
        crash="after 2",
        stored="the history; the row lags behind",
        next="the messages are redelivered and add nothing; the host compares row and history, and writes the row",
        repeats="not the episode, but activities that it requested, as in *a quick activity has ended*",
        run=partial(_at, operation=Operation.WRITE_RECORD),
    ),
    CrashCase(
        crash="after 3",
        stored="all",
        next="the messages are redelivered, add nothing, and are deleted",
        repeats="not the episode, but activities that it requested, as in *a quick activity has ended*",
        run=partial(_at, operation=Operation.DELETE_CONTROL),
    ),
    CrashCase(
        crash="within 4",
        stored="all",
        next="as after 3, for the remaining messages",
        repeats="only activities whose request was to be deleted with their result",
        run=partial(_at, operation=Operation.DELETE_REQUEST, number=5),
    ),
    CrashCase(
        crash="an activity runs",
        stored="its request",
        next="the request becomes visible again",
        repeats="the activity",
        run=_while_an_activity_runs,
    ),
    CrashCase(
        crash="a quick activity has ended, but not the episode that records its result",
        stored="its request",
        next="the request becomes visible again",
        repeats="the activity, which took a second at most",
        run=partial(_at, operation=Operation.WRITE_HISTORY, number=2),
    ),
    CrashCase(
        crash="the result of a longer activity is sent, its request not deleted",
        stored="both",
        next="the activity runs again; its second result is dropped by its task id",
        repeats="the activity",
        run=partial(_at, operation=Operation.DELETE_REQUEST, number=3, stores_results=True),
    ),
    CrashCase(
        crash="a start is sent, its row not written",
        stored="a start message without a Pending row; the caller got no answer",
        next="the start waits for its row. After 10 deliveries (about 17 minutes) without one it is deleted: it was "
        "never confirmed to anybody. The caller can start the same id at once",
        repeats="nothing",
        run=partial(_start_cut_at_its_row, is_served=False),
    ),
    CrashCase(
        crash="a start is sent and its row written",
        stored="both",
        next="the instance runs, even if the caller got no answer",
        repeats="nothing",
        run=partial(_start_cut_at_its_row, is_served=True),
    ),
    CrashCase(
        crash="purge, between its deletes",
        stored="part of the history or blobs is deleted, the row is not",
        next="the purge can be repeated: the row is deleted last",
        repeats="the purge",
        run=_purge_cut,
    ),
)
