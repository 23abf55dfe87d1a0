"""Messages that this host did not send: those of a real host, delayed ones that arrive early, and unreadable ones.

Runs on Azurite, because the effect on the queue matters.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from durablehost.clock import SystemClock
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import TimerFired
from durablehost.core.messages import TaskMessage
from durablehost.core.status import RuntimeStatus
from durablehost.engine.ports import OrchestrationWorkItem, TaskHub
from durablehost.errors import StorageError
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from durablehost.storage.rows import payloads
from durablehost.storage.rows.message_json import envelope_to_text, wrapper_to_text
from packages.durablehost.tests.contract.account import (
    CONTROL,
    ORDER,
    OVERRIDABLE,
    START,
    Account,
    begun,
    next_item,
    nothing_comes,
)
from packages.durablehost.tests.eventually import WAIT_SECONDS, eventually
from packages.durablehost.tests.hubs import build

WORK_ITEMS = "-workitems"


def text_of(message: TaskMessage) -> str:
    return envelope_to_text(message, activity_id="3c5f0a7e-52b1-4d0e-9f0b-6f6b0d1f2a11", sequence_number=1)


def timer(fire_at: datetime) -> TaskMessage:
    return TaskMessage(event=TimerFired(timestamp=build.now(), timer_id=0, fire_at=fire_at), target=ORDER, sender=ORDER)


async def visible_to_the_host(hub: TaskHub, account: Account, name: str) -> OrchestrationWorkItem:
    """Proves that the queue is still read, by an event sent after its other messages."""
    account.put(CONTROL, text_of(build.event_raised("order-42", name)))
    return await next_item(hub)


async def test_base64_of_a_real_host_is_read_like_raw_text(hub: TaskHub, account: Account) -> None:
    message = build.event_raised("order-42", "Approved", input_text='{"by":"Zoë"}')
    account.put(CONTROL, base64.b64encode(text_of(message).encode()).decode())
    assert [each.message for each in (await next_item(hub)).messages] == [message]


async def test_a_timer_that_arrives_early_is_kept_until_it_is_due(hub: TaskHub, account: Account) -> None:
    message = timer(build.now() + timedelta(seconds=0.8))
    account.put(CONTROL, text_of(message))
    item = await next_item(hub)
    assert build.now() >= message.event.fire_at  # type: ignore[attr-defined]
    assert [each.message for each in item.messages] == [message]
    assert item.messages[0].dequeue_count == 1


async def test_a_timer_beyond_the_longest_delay_is_delayed_again(hub: TaskHub, account: Account) -> None:
    account.put(CONTROL, text_of(timer(build.now() + timedelta(days=33))))
    assert await nothing_comes(hub)
    assert account.texts(CONTROL) == []
    assert account.stored(CONTROL) == 1


async def test_a_start_that_its_client_never_confirmed_is_not_run_yet(hub: TaskHub, account: Account) -> None:
    account.put(CONTROL, text_of(START))
    assert await nothing_comes(hub)
    assert account.stored(CONTROL) == 1


async def test_a_start_that_was_overtaken_by_another_is_deleted(hub: TaskHub, account: Account) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, Checkpoint())
    late = build.start("order-42", at=build.now() + timedelta(seconds=1), generation=0)
    account.put(CONTROL, text_of(late))
    await eventually(lambda: account.stored(CONTROL) == 0)
    assert await nothing_comes(hub)


def unreadable() -> list[str]:
    strange: Any = json.loads(text_of(build.event_raised("order-42", "x")))
    strange["TaskMessage"]["Event"]["EventType"] = 999
    lost: Any = json.loads(text_of(build.event_raised("order-42", "x")))
    lost["CompressedBlobName"] = "order-42/message-gone.json.gz"
    return ["hello", "{", json.dumps(strange), json.dumps(lost)]


async def test_an_unreadable_message_is_set_aside_and_kept_and_blocks_no_other(
    hub: TaskHub, account: Account, caplog: Any
) -> None:
    for text in unreadable():
        account.put(CONTROL, text)
    item = await visible_to_the_host(hub, account, "Approved")
    assert len(item.messages) == 1
    await hub.complete_orchestration(item, Checkpoint())
    await eventually(lambda: account.stored(CONTROL) == len(unreadable()))
    reasons = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(reasons) >= len(unreadable())
    assert all(f"queue '{account.lower}{CONTROL}'" in reason for reason in reasons)


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_message_whose_blob_is_a_compression_bomb_is_set_aside_by_name(
    hub: TaskHub,
    account: Account,
    encoding: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(payloads, "MAX_PAYLOAD_BYTES", 1_000_000)
    account.put_blob("bombs/one.json.gz", gzip.compress(bytes(200_000_000)), encoding=encoding)
    account.put(CONTROL, wrapper_to_text("bombs/one.json.gz"))
    assert await visible_to_the_host(hub, account, "After")
    await eventually(lambda: "The payload bombs/one.json.gz is larger than 1000000 bytes" in caplog.text)
    assert account.stored(CONTROL) >= 1


async def test_a_blob_that_its_writer_marked_as_compressed_is_read(hub: TaskHub, account: Account) -> None:
    message = build.event_raised("order-42", "Approved", input_text="x" * 50_000)
    account.put_blob("foreign/one.json.gz", gzip.compress(text_of(message).encode()), encoding="gzip")
    account.put(CONTROL, wrapper_to_text("foreign/one.json.gz"))
    assert [each.message for each in (await next_item(hub)).messages] == [message]


async def test_an_unreadable_activity_request_blocks_no_other(hub: TaskHub, account: Account) -> None:
    account.put(WORK_ITEMS, "hello")
    item = await begun(hub)
    request = build.task_scheduled(item, 0)
    await hub.complete_orchestration(item, build.checkpoint(item, outbox=(request,)))
    activity = await asyncio.wait_for(hub.fetch_activity(), WAIT_SECONDS)
    assert activity.received.message == request
    assert account.stored(WORK_ITEMS) == 2


async def test_a_restart_that_is_allowed_again_does_not_wait_for_a_poll(hub: TaskHub) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item, output="1"))
    started_at = build.now()
    await hub.start_instance(build.start("order-42"), overridable=OVERRIDABLE)
    await next_item(hub)
    assert build.now() - started_at < timedelta(seconds=1.5)


async def test_an_instance_with_a_damaged_history_waits_and_blocks_no_other_instance(
    options: StorageOptions, hub: TaskHub, account: Account
) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item))
    await hub.stop()
    account.spoil_history("order-42", "0000000000000001")
    async with open_task_hub(replace(options, worker_id="host-b"), SystemClock()) as second:
        await second.start()
        await second.send(build.event_raised("order-42", "x"))
        await second.send(build.event_raised("parcel-1", "x"))
        assert (await next_item(second)).instance_id == "parcel-1"
        assert await nothing_comes(second)
    assert account.stored(CONTROL) == 1


@pytest.mark.parametrize("row", ["0000000000000000", "0000000000000001"])
async def test_an_instance_whose_history_lacks_a_row_waits_and_blocks_no_other_instance(
    options: StorageOptions, hub: TaskHub, account: Account, row: str
) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item))
    await hub.stop()
    account.remove_history_row("order-42", row)
    left = account.rows("History")
    async with open_task_hub(replace(options, worker_id="host-b"), SystemClock()) as second:
        await second.start()
        await second.send(build.event_raised("order-42", "x"))
        await second.send(build.event_raised("parcel-1", "x"))
        assert (await next_item(second)).instance_id == "parcel-1"
        assert await nothing_comes(second)
        with pytest.raises(StorageError, match=f"order-42.*row {row}"):
            await second.read_history("order-42")
    assert account.rows("History") == left
    assert account.stored(CONTROL) == 1


async def test_a_record_whose_payload_is_missing_can_still_be_listed(hub: TaskHub, account: Account) -> None:
    item = await begun(hub)
    await hub.complete_orchestration(item, build.checkpoint(item, output="x" * 40_000))
    account.delete_blobs()
    page = await hub.list_instances(build.EVERYTHING, page_size=10)
    (record,) = page.records
    assert record.runtime_status is RuntimeStatus.COMPLETED
    assert (record.output or "").startswith("http")
