"""Measures the least cost of the storage operations of a fan-out: as many of them by a bare client, and nothing else.

Rule of this file: it does only what every host has to do, as fast as a client can. For each chunk a
work-item message and a result message are put and deleted, and three history rows inserted, 100 in a transaction; the
messages are deleted by the receipt of their put, and no more than SLOTS chunks are under way, so that the queues stay
shallow.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from bench.storage import ROWS_PER_TRANSACTION, Row, Storage, connected
from durablehost.emulator.azurite import Ports

# A chunk has one message stored at a time.
SLOTS = 64
ROWS_PER_CHUNK = 3
# Of an episode for one message: started, the message, the decision, completed, and the sentinel.
ROWS_PER_EPISODE = 5
# A history of moderate size: an insert costs more, the more rows its partition has.
CHUNKS_PER_HISTORY = 250
WARM_UP_CHUNKS = 64

_WORK_ITEMS = "limit-workitems"
_CONTROL = "limit-control"
_HISTORY = "LimitHistory"
_INSTANCES = "LimitInstances"
_MESSAGE = "m" * 1500
_RESULT = "r" * 180


def measure_limit(ports: Ports, chunks: int) -> float:
    """The seconds that the storage operations of so many chunks take, Azurite being warm."""

    async def measured() -> float:
        async with connected(ports) as storage, _task_hub(storage):
            await run_chunks(storage, WARM_UP_CHUNKS)
            began = time.perf_counter()
            await run_chunks(storage, chunks)
            return time.perf_counter() - began

    return asyncio.run(measured())


@asynccontextmanager
async def _task_hub(storage: Storage) -> AsyncIterator[None]:
    """Creates queues and tables for the block, and deletes them after it."""
    await asyncio.gather(
        *(storage.create_queue(queue) for queue in (_WORK_ITEMS, _CONTROL)),
        *(storage.create_table(table) for table in (_HISTORY, _INSTANCES)),
    )
    yield
    await asyncio.gather(
        *(storage.delete_queue(queue) for queue in (_WORK_ITEMS, _CONTROL)),
        *(storage.delete_table(table) for table in (_HISTORY, _INSTANCES)),
    )


async def run_chunks(storage: Storage, chunks: int) -> None:
    groups = [range(first, min(first + CHUNKS_PER_HISTORY, chunks)) for first in range(0, chunks, CHUNKS_PER_HISTORY)]
    histories = {chunk: history for group in groups for history in [_History(storage, len(group))] for chunk in group}
    remaining = iter(histories.values())
    await asyncio.gather(*(_run_slot(storage, remaining) for _ in range(min(SLOTS, chunks))))


async def _run_slot(storage: Storage, remaining: Iterator[_History]) -> None:
    for history in remaining:
        await _put_and_delete(storage, _WORK_ITEMS)
        await _put_and_delete(storage, _CONTROL)
        await history.add_chunk()


async def _put_and_delete(storage: Storage, queue: str) -> None:
    await storage.delete_message(queue, await storage.put_message(queue, _MESSAGE))


class _History:
    """The rows of one group of chunks; the slot that fills a transaction stores it."""

    def __init__(self, storage: Storage, chunks: int) -> None:
        self._storage = storage
        self._remaining = chunks
        self._rows = _rows(str(uuid.uuid4()))
        self._pending: list[Row] = []

    async def add_chunk(self) -> None:
        self._pending += itertools.islice(self._rows, ROWS_PER_CHUNK)
        self._remaining -= 1
        while len(self._pending) >= ROWS_PER_TRANSACTION or (self._pending and not self._remaining):
            batch, self._pending = self._pending[:ROWS_PER_TRANSACTION], self._pending[ROWS_PER_TRANSACTION:]
            await self._storage.insert_rows(_HISTORY, batch)


def _rows(instance_id: str) -> Iterator[Row]:
    """History rows of about 400 bytes, without end."""
    execution_id = uuid.uuid4().hex
    for number in itertools.count():
        yield {
            "PartitionKey": instance_id,
            "RowKey": f"{number:016X}",
            "EventId": number,
            "EventType": "TaskCompleted",
            "ExecutionId": execution_id,
            "IsPlayed": False,
            "Result": _RESULT,
            "TaskScheduledId": number,
            "_Timestamp": "2026-01-01T00:00:00.0000000Z",
        }


class StorageChain:
    """The storage operations of an orchestration of one chunk, one after another."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @staticmethod
    @asynccontextmanager
    async def prepared(ports: Ports) -> AsyncIterator[StorageChain]:
        async with connected(ports, connections=1) as storage, _task_hub(storage):
            yield StorageChain(storage)

    async def run(self) -> None:
        """Start, first episode, activity, second episode, until the instance is stored as completed.

        A caller waits for that; the last message is deleted after it.
        """
        storage, instance_id = self._storage, str(uuid.uuid4())
        rows = _rows(instance_id)
        instance: Row = {"PartitionKey": instance_id, "RowKey": "", "RuntimeStatus": "Pending", "Input": _RESULT}
        start = await storage.put_message(_CONTROL, _MESSAGE)
        await storage.insert_row(_INSTANCES, instance)
        work_item = await storage.put_message(_WORK_ITEMS, _MESSAGE)
        await storage.insert_rows(_HISTORY, list(itertools.islice(rows, ROWS_PER_EPISODE)))
        await storage.merge_row(_INSTANCES, {**instance, "RuntimeStatus": "Running"})
        await storage.delete_message(_CONTROL, start)
        await storage.put_message(_CONTROL, _MESSAGE)
        await storage.delete_message(_WORK_ITEMS, work_item)
        await storage.insert_rows(_HISTORY, list(itertools.islice(rows, ROWS_PER_EPISODE)))
        await storage.merge_row(_INSTANCES, {**instance, "RuntimeStatus": "Completed"})
