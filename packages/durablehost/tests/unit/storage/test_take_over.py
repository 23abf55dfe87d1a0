"""The order in which the messages of a dead host become visible, also if storage fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from durablehost.errors import StorageError, StorageUnavailable
from durablehost.resilience import keep_running
from durablehost.storage.messages import take_over
from durablehost.storage.messages.hub_queues import HubQueues
from durablehost.storage.messages.journal import JournalFolder
from durablehost.storage.messages.take_over import TakeOver
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually

WORK_ITEMS, CONTROL = "hub-workitems", "hub-control-00"


class Queues:
    """Records the messages made visible; `failures` are raised first, each once. Stands in for every queue."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.failures: list[Exception] = []
        self.refused: set[str] = set()
        self.on_show: Callable[[str], None] = lambda message_id: None
        self.name = WORK_ITEMS

    @property
    def work_items(self) -> Queues:
        return self

    def queue(self, name: str) -> Queues:
        return self

    def notify(self, queue: Queues) -> None:
        pass

    def notify_all(self) -> None:
        pass

    async def show(self, message_id: str, pop_receipt: str) -> bool:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        if pop_receipt in self.refused:
            return False
        self.on_show(message_id)
        self.shown.append(f"{message_id} by {pop_receipt}")
        return True


def folder_of(path: Path, worker_id: str) -> JournalFolder:
    return JournalFolder(path, worker_id=worker_id, hub_name="Hub", queue_endpoint="http://queues")


def leave(path: Path, control: int = 1, requests: int = 1) -> None:
    """Writes the journal of a dead host that held so many messages."""
    with folder_of(path, "dead") as dead:
        dead.own.hold(WORK_ITEMS, [(f"request-{number}", "r1") for number in range(requests)])
        dead.own.hold(CONTROL, [(f"event-{number}", "r1") for number in range(control)])


@contextlib.asynccontextmanager
async def running(path: Path, queues: Queues, on_found: Callable[[], None] = lambda: None) -> AsyncIterator[TakeOver]:
    with folder_of(path, "me") as journals:
        looking = TakeOver(journals, cast(HubQueues, queues), on_found)
        loop = keep_running(looking.run, "look for dead hosts", logging.getLogger("Host.TaskHub"))
        task = asyncio.create_task(loop)
        yield looking
        looking.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_over, "LOOK_SECONDS", 0.01)


async def test_control_messages_are_taken_over_first_and_in_order_before_partitions_are_free(tmp_path: Path) -> None:
    leave(tmp_path, control=50, requests=3)
    queues, at_found = Queues(), list[str]()
    async with running(tmp_path, queues, lambda: at_found.extend(queues.shown)) as looking:
        await looking.wait_for_first_look()
        assert await eventually(lambda: len(queues.shown) == 53)
        assert at_found == [f"event-{number} by r1" for number in range(50)]
        await eventually(lambda: not (tmp_path / "dead.journal").exists())


async def test_an_unavailable_storage_is_asked_again_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path)
    queues = Queues()
    queues.failures = [StorageUnavailable("refused")] * 3
    async with running(tmp_path, queues) as looking:
        await looking.wait_for_first_look()
        assert await eventually(lambda: queues.shown == ["event-0 by r1", "request-0 by r1"])
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


async def test_a_message_that_storage_refuses_does_not_block_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, control=2)
    queues = Queues()
    queues.failures = [StorageError("a receipt that nobody can read")]
    async with running(tmp_path, queues):
        assert await eventually(lambda: queues.shown == ["event-1 by r1", "request-0 by r1"])
    assert "event-0" in caplog.text


async def test_an_emulator_that_was_killed_too_knows_the_receipt_before_the_last(tmp_path: Path) -> None:
    with folder_of(tmp_path, "dead") as dead:
        for pop_receipt in ("r1", "r2", "r3"):
            dead.own.hold(CONTROL, [("event", pop_receipt)])
    queues = Queues()
    queues.refused = {"r3"}
    async with running(tmp_path, queues):
        assert await eventually(lambda: queues.shown == ["event by r2"])


async def test_the_start_does_not_wait_for_very_many_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_over, "LONGEST_WAIT_SECONDS", 0.01)
    leave(tmp_path)
    queues, goes_on = Queues(), asyncio.Event()
    queues.show = lambda message_id, pop_receipt: goes_on.wait()  # type: ignore[method-assign]
    async with running(tmp_path, queues) as looking:
        await asyncio.wait_for(looking.wait_for_first_look(), WAIT_SECONDS)


async def test_an_unforeseen_error_does_not_end_the_search(tmp_path: Path) -> None:
    leave(tmp_path)
    queues = Queues()
    queues.failures = [ValueError("surprise")]
    async with running(tmp_path, queues) as looking:
        await looking.wait_for_first_look()
        assert await eventually(lambda: "event-0 by r1" in queues.shown)
