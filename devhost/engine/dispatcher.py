"""One loop, used for instances and for activities: fetch, process, then complete or abandon.

Mirrors WorkItemDispatcher of DurableTask.Core. Errors of the storage and of worker processes end here: the work is
abandoned and comes again. So does work with an error that nobody foresaw, but not for ever: one bad item must neither
stop the others nor fill the log. What fails again and again is logged more and more seldom.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Generic, Protocol, TypeVar

import anyio

from devhost.app.model import FunctionApp, TriggerKind
from devhost.clock import Clock
from devhost.core.entities import REORDER_WINDOW_SECONDS
from devhost.engine.activities import Activities
from devhost.engine.entities import MAX_BATCH_SIZE, Entities
from devhost.engine.instances import Instances
from devhost.engine.last_resort import MAX_ROUNDS, UnforeseenErrors, is_unforeseen
from devhost.engine.long_calls import LONG_TURN_SECONDS, LongCalls
from devhost.engine.orchestrations import Orchestrations
from devhost.engine.ports import Executor, TaskHub
from devhost.errors import DevHostError, StaleCheckpoint, StorageError
from devhost.resilience import Counts, back_off_seconds, is_worth_a_line

# Times the limit: items that wait for their function are in memory with their histories.
_MOST_LONG = 10

_log = logging.getLogger("Host.Engine")

Item = TypeVar("Item")


class WorkSource(Protocol[Item]):
    """What a dispatcher needs of one kind of work."""

    name: str

    async def fetch(self) -> Item: ...
    async def process(self, item: Item) -> None: ...
    async def abandon(self, item: Item) -> None: ...
    async def renew(self, item: Item) -> None: ...
    async def give_up(self, item: Item, error: Exception) -> None: ...
    def describe(self, item: Item) -> str: ...
    def message_ids(self, item: Item) -> Sequence[str]: ...


class Dispatcher(Generic[Item]):
    """Takes work from one source and processes up to `limit` items at a time.

    Each of its lanes waits for work by itself, so that the source knows how much is wanted and fetches it at once. An
    item in hand is renewed before `renew_seconds` have passed, and again and again. Items whose function takes long
    (`call_is_long`, `long_call_ended`) do not count towards the limit, so that functions which block hold up no others.
    """

    def __init__(self, source: WorkSource[Item], *, limit: int, renew_seconds: float) -> None:
        self._source = source
        self._renew_seconds = renew_seconds
        self._limit = limit
        self._is_failing = False
        self._long_calls = 0
        self._lanes = 0
        self._start_lane: Callable[[], None] = lambda: None
        self._unforeseen = UnforeseenErrors()
        # Of the lanes that wait for work.
        self._waits: set[anyio.CancelScope] = set()
        # By lane, with the time at which each was taken or renewed.
        self._in_hand: dict[int, tuple[Item, float]] = {}
        self._failures = Counts()

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping` is set, then returns as soon as the items in hand are done."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._renew_in_hand, name=f"renew {self._source.name}")
            async with anyio.create_task_group() as lanes:
                numbers = count()

                def start_lane() -> None:
                    lane = next(numbers)
                    lanes.start_soon(self._run_lane, lane, stopping, name=f"{self._source.name} {lane}")

                self._start_lane = start_lane
                self._fill_lanes()
                await stopping.wait()
                for wait in tuple(self._waits):
                    wait.cancel()
            beside.cancel_scope.cancel()

    def call_is_long(self) -> None:
        """Lets another item be fetched while this one waits for its function."""
        self._long_calls += 1
        self._fill_lanes()

    def long_call_ended(self) -> None:
        self._long_calls -= 1

    @property
    def _wanted_lanes(self) -> int:
        return self._limit + min(self._long_calls, _MOST_LONG * self._limit)

    def _fill_lanes(self) -> None:
        while self._lanes < self._wanted_lanes:
            self._lanes += 1
            self._start_lane()

    async def _run_lane(self, lane: int, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            if self._lanes > self._wanted_lanes:
                self._lanes -= 1
                return
            with self._wait():
                try:
                    item = await self._source.fetch()
                except Exception as error:
                    failures += 1
                    self._notice_failure(error)
                    await asyncio.sleep(back_off_seconds(failures))
                    continue
                failures = 0
                self._in_hand[lane] = (item, time.monotonic())
            if lane in self._in_hand:
                self._notice_success()
                await self._process(item)
                # Both references: a lane that waits for hours must not keep the payloads of its last item.
                del self._in_hand[lane], item

    @contextmanager
    def _wait(self) -> Iterator[None]:
        """A wait that ends when the dispatcher is told to stop. What has been fetched by then is in hand."""
        with anyio.CancelScope() as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)

    def _notice_failure(self, error: Exception) -> None:
        if not self._is_failing:
            self._is_failing = True
            defect = None if isinstance(error, StorageError) else error
            _log.warning(
                "Fetching %s fails and is tried again until it succeeds: %s",
                self._source.name,
                error if defect is None else repr(error),
                exc_info=defect,
            )

    def _notice_success(self) -> None:
        if self._is_failing:
            self._is_failing = False
            _log.warning("Fetching %s succeeds again", self._source.name)

    async def _process(self, item: Item) -> None:
        ids = self._source.message_ids(item)
        last_straw = self._unforeseen.last_straw(ids)
        if last_straw is None:
            is_done = await self._succeeds(self._source.process, item, "Work on")
        else:
            is_done = await self._succeeds(lambda item: self._source.give_up(item, last_straw), item, "Giving up")
        if is_done:
            self._unforeseen.forget(ids)
        else:
            await self._succeeds(self._source.abandon, item, "Giving back")

    async def _succeeds(self, step: Callable[[Item], Awaitable[None]], item: Item, doing: str) -> bool:
        subject = self._describe(item)
        try:
            await step(item)
            self._failures.forget((doing, subject))
            return True
        except StaleCheckpoint as error:
            _log.warning("Another host has advanced %s; this host drops its own attempt: %s", subject, error)
        except Exception as error:
            is_last_try = is_unforeseen(error) and self._unforeseen.note(self._source.message_ids(item), error)
            count = self._failures.add((doing, subject))
            if is_last_try:
                _log.error(
                    "%s %s failed unexpectedly %d times: it is given up", doing, subject, MAX_ROUNDS, exc_info=error
                )
            elif not is_worth_a_line(count):
                pass
            elif isinstance(error, DevHostError):
                _log.warning("%s %s failed; it comes again: %s", doing, subject, error)
            else:
                _log.warning("%s %s failed unexpectedly; it comes again: %r", doing, subject, error)
        return False

    def _describe(self, item: Item) -> str:
        try:
            return self._source.describe(item)
        except Exception as error:
            return f"an item of {self._source.name} that cannot be described ({error!r})"

    async def _renew_in_hand(self) -> None:
        # One loop for all: most items are done long before they have to be renewed.
        while True:
            await asyncio.sleep(self._renew_seconds / 2)
            await self._renew_due()

    async def _renew_due(self) -> None:
        now = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for lane, (item, since) in tuple(self._in_hand.items()):
                if now - since >= self._renew_seconds / 2:
                    self._in_hand[lane] = (item, now)
                    tasks.start_soon(self._renew, item)

    async def _renew(self, item: Item) -> None:
        subject = self._describe(item)
        try:
            await self._source.renew(item)
            self._failures.forget(("renew", subject))
        except Exception as error:
            if is_worth_a_line(self._failures.add(("renew", subject))):
                defect = None if isinstance(error, StorageError) else error
                _log.warning("Keeping %s invisible to others failed: %r", subject, error, exc_info=defect)


class Engine:
    """Both dispatchers of one app over one hub: entities count as orchestrations.

    `renew_seconds` has to be well below the time for which the hub hides what it hands out.
    """

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        app: FunctionApp,
        clock: Clock,
        *,
        max_orchestrations: int,
        max_activities: int,
        renew_seconds: float = 10,
        max_actions: int = 100_000,
        stores_inputs: bool = False,
        max_entity_batch_size: int = MAX_BATCH_SIZE,
        entity_reorder_window_seconds: float = REORDER_WINDOW_SECONDS,
        default_version: str = "",
    ) -> None:
        turns = LongCalls(executor, long_seconds=LONG_TURN_SECONDS)
        # The limit of activities is about work; one that takes long does work.
        work = LongCalls(executor, long_seconds=None)
        orchestrations = Orchestrations(
            hub,
            turns,
            app.of_kind(TriggerKind.ORCHESTRATION),
            clock,
            max_actions=max_actions,
            stores_inputs=stores_inputs,
            default_version=default_version,
        )
        entities = Entities(
            hub,
            turns,
            app.of_kind(TriggerKind.ENTITY),
            clock,
            max_batch_size=max_entity_batch_size,
            reorder_window_seconds=entity_reorder_window_seconds,
        )
        instances = Instances(hub, orchestrations, entities)
        activities = Activities(hub, work, app.of_kind(TriggerKind.ACTIVITY), clock)
        self._instances = Dispatcher(instances, limit=max_orchestrations, renew_seconds=renew_seconds)
        turns.on_long, turns.on_end = self._instances.call_is_long, self._instances.long_call_ended
        self._activities = Dispatcher(activities, limit=max_activities, renew_seconds=renew_seconds)
        work.on_long, work.on_end = self._activities.call_is_long, self._activities.long_call_ended

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping` is set and all work in hand is done."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._instances.run, stopping, name="orchestrations")
            tasks.start_soon(self._activities.run, stopping, name="activities")
