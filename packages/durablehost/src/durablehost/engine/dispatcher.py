"""One loop, used for instances and for activities: fetch, process, then complete or abandon.

Mirrors WorkItemDispatcher of DurableTask.Core. Errors of the storage and of worker processes are handled here: the work
is abandoned and delivered again. So is work with an unforeseen error, but a limited number of times: one bad item must
neither stop the others nor fill the log. Repeated failures are logged less and less often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Generic, Protocol, TypeVar

import anyio

from durablehost.app.model import FunctionApp, TriggerKind
from durablehost.clock import Clock
from durablehost.core.rules import DEFAULT_RULES, Rules
from durablehost.defaults import ENTITY_REORDER_WINDOW_SECONDS, MAX_ENTITY_BATCH_SIZE
from durablehost.engine.activities import Activities
from durablehost.engine.activity_starts import ActivityStarts
from durablehost.engine.awaited import AwaitedEvents
from durablehost.engine.entities import Entities
from durablehost.engine.instances import Instances
from durablehost.engine.last_resort import MAX_ROUNDS, UnforeseenErrors, is_unforeseen
from durablehost.engine.long_calls import LONG_EPISODE_SECONDS, LongCalls
from durablehost.engine.orchestrations import Orchestrations
from durablehost.engine.ports import Executor, TaskHub
from durablehost.engine.tracing import NO_TRACES, Tracer
from durablehost.errors import DurableHostError, StaleCheckpoint, StorageError, StorageUnreachable
from durablehost.resilience import Counts, back_off_seconds, is_worth_a_line

# A multiple of the limit: items that wait for their function are in memory, with their histories.
_MOST_LONG = 10

_log = logging.getLogger("Host.Engine")

Item = TypeVar("Item")


class WorkSource(Protocol[Item]):
    """The operations that a dispatcher needs for one kind of work."""

    name: str

    async def fetch(self) -> Item: ...
    async def process(self, item: Item) -> None: ...
    async def abandon(self, item: Item) -> None: ...
    async def renew(self, item: Item) -> None: ...
    async def give_up(self, item: Item, error: Exception) -> None: ...
    def describe(self, item: Item) -> str: ...
    def message_ids(self, item: Item) -> Sequence[str]: ...


class Dispatcher(Generic[Item]):
    """Fetches work from one source and processes up to `limit` items at a time.

    Each lane waits for its own item, so that the source knows how many are wanted and fetches them at once. An item
    that is being processed is renewed every `renew_seconds` at the latest. Items whose function takes long
    (`call_is_long`, `long_call_ended`) do not count towards the limit, so that functions which block do not hold up
    others.
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
        # The lanes that wait for work.
        self._waits: set[anyio.CancelScope] = set()
        # The items being processed, by lane, with the time of their fetch or last renewal.
        self._items: dict[int, tuple[Item, float]] = {}
        self._failures = Counts()

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping` is set, then returns as soon as the current items are done."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._renew_items, name=f"renew {self._source.name}")
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
        """Allows another item to be fetched while this one waits for its function."""
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
                self._items[lane] = (item, time.monotonic())
            if lane in self._items:
                self._notice_success()
                await self._process(item)
                # Both references: a lane that waits for hours must not keep the payloads of its last item.
                del self._items[lane], item

    @contextmanager
    def _wait(self) -> Iterator[None]:
        """A wait that ends when the dispatcher stops. An item that was fetched by then is processed."""
        with anyio.CancelScope() as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)

    def _notice_failure(self, error: Exception) -> None:
        # Of a storage that cannot be reached, other lines tell.
        if not self._is_failing and not isinstance(error, StorageUnreachable):
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
        final_error = self._unforeseen.final_error(ids)
        if final_error is None:
            is_done = await self._succeeds(self._source.process, item, "Work on")
        else:
            is_done = await self._succeeds(lambda item: self._source.give_up(item, final_error), item, "Giving up")
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
            is_foreseen = isinstance(error, DurableHostError)
            if is_last_try and is_foreseen:
                _log.error("%s %s failed %d times: it is given up: %s", doing, subject, MAX_ROUNDS, error)
            elif is_last_try:
                _log.error(
                    "%s %s failed unexpectedly %d times: it is given up", doing, subject, MAX_ROUNDS, exc_info=error
                )
            elif not is_worth_a_line(count):
                pass
            elif is_foreseen:
                _log.warning("%s %s failed; it will be delivered again: %s", doing, subject, error)
            else:
                _log.warning("%s %s failed unexpectedly; it will be delivered again: %r", doing, subject, error)
        return False

    def _describe(self, item: Item) -> str:
        try:
            return self._source.describe(item)
        except Exception as error:
            return f"an item of {self._source.name} that cannot be described ({error!r})"

    async def _renew_items(self) -> None:
        # One loop for all: most items are done long before they have to be renewed.
        while True:
            await asyncio.sleep(self._renew_seconds / 2)
            await self._renew_due()

    async def _renew_due(self) -> None:
        now = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for lane, (item, since) in tuple(self._items.items()):
                if now - since >= self._renew_seconds / 2:
                    self._items[lane] = (item, now)
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


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The settings of the engine.

    `renew_seconds` has to be well below the visibility timeout of the hub's messages.
    """

    max_orchestrations: int
    max_activities: int
    renew_seconds: float = 10
    max_entity_batch_size: int = MAX_ENTITY_BATCH_SIZE
    entity_reorder_window_seconds: float = ENTITY_REORDER_WINDOW_SECONDS
    rules: Rules = DEFAULT_RULES


class Engine:
    """Both dispatchers of one app over one hub: entities count as orchestrations.

    `starts` is told when activities begin to run, `tracer` what a trace shows.
    """

    def __init__(
        self,
        hub: TaskHub,
        executor: Executor,
        app: FunctionApp,
        clock: Clock,
        options: EngineOptions,
        awaited: AwaitedEvents | None = None,
        *,
        starts: ActivityStarts | None = None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        episodes = LongCalls(executor, long_seconds=LONG_EPISODE_SECONDS)
        # The limit of activities bounds the work that runs, so long calls count.
        work = LongCalls(executor, long_seconds=None)
        orchestrators = app.of_kind(TriggerKind.ORCHESTRATION)
        orchestrations = Orchestrations(hub, episodes, orchestrators, clock, options.rules, awaited, tracer)
        entities = Entities(
            hub,
            episodes,
            app.of_kind(TriggerKind.ENTITY),
            clock,
            max_batch_size=options.max_entity_batch_size,
            reorder_window_seconds=options.entity_reorder_window_seconds,
            tracer=tracer,
        )
        instances = Instances(hub, orchestrations, entities)
        activities = Activities(hub, work, app.of_kind(TriggerKind.ACTIVITY), clock, starts, tracer)
        self._instances = Dispatcher(instances, limit=options.max_orchestrations, renew_seconds=options.renew_seconds)
        episodes.on_long, episodes.on_end = self._instances.call_is_long, self._instances.long_call_ended
        self._activities = Dispatcher(activities, limit=options.max_activities, renew_seconds=options.renew_seconds)
        work.on_long, work.on_end = self._activities.call_is_long, self._activities.long_call_ended

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping` is set and the current work is done."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._instances.run, stopping, name="orchestrations")
            tasks.start_soon(self._activities.run, stopping, name="activities")
