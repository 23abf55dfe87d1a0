"""Rows of a table, written by durablehost and read by the official client, and the reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timezone

import pytest

from durablehost.storage.account.options import StorageOptions
from durablehost.storage.account.refusal import Conflict, Missing
from durablehost.storage.account.services import open_services
from durablehost.storage.rows.table import Operation, Row, StorageTable, Write
from packages.durablehost.tests.contract.account import Account

AT = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=timezone.utc)
KEYS = ["plain", "o'clock", "a b^0", "50%25 & more", "日本", "\u00a0x"]


def row(row_key: str = "1", partition_key: str = "p", **columns: str | int | bool | datetime) -> Row:
    return {"PartitionKey": partition_key, "RowKey": row_key, **columns}


@pytest.fixture
async def table(options: StorageOptions) -> AsyncIterator[StorageTable]:
    async with open_services(options.connection) as services:
        await services.tables.create_table(options.hub_name)
        yield StorageTable(services.table_service, options.hub_name)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("is_together", [False, True])
async def test_the_official_client_reads_the_same_row(
    table: StorageTable, account: Account, key: str, is_together: bool
) -> None:
    written = row(key, key, text='"<é>\n', number=-7, truth=False, at=AT)
    operation = Operation(Write.INSERT, written)
    (etag,) = await table.write_together([operation]) if is_together else [await table.write(operation)]
    (read,) = account.rows("")
    assert read == written
    stored = await table.get(key, key)
    assert stored.etag == etag
    assert {name: value for name, value in stored.columns.items() if name != "Timestamp"} == written
    assert [each.etag for each in await table.query("PartitionKey ge ''")] == [etag]


async def test_an_insert_needs_a_missing_row_and_a_replacement_or_merge_accepts_any(table: StorageTable) -> None:
    await table.write(Operation(Write.INSERT, row(a=1)))
    with pytest.raises(Conflict):
        await table.write(Operation(Write.INSERT, row(a=2)))
    await table.write(Operation(Write.MERGE, row(b=2)))
    assert {"a": 1, "b": 2}.items() <= dict((await table.get("p", "1")).columns).items()
    await table.write(Operation(Write.REPLACE, row(c=3)))
    assert "a" not in (await table.get("p", "1")).columns
    await table.write(Operation(Write.MERGE, row("2", a=1)))
    await table.write(Operation(Write.REPLACE, row("3", a=1)))
    assert len(await table.query("PartitionKey eq 'p'")) == 3


@pytest.mark.parametrize("write", [Write.MERGE, Write.REPLACE])
async def test_an_etag_guards_a_row(table: StorageTable, write: Write) -> None:
    first = await table.write(Operation(Write.INSERT, row(a=1)))
    second = await table.write(Operation(write, row(a=2), first))
    with pytest.raises(Conflict):
        await table.write(Operation(write, row(a=3), first))
    assert (await table.get("p", "1")).etag == second


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_rows_written_together_are_all_written_or_none(table: StorageTable, position: int) -> None:
    await table.write(Operation(Write.INSERT, row(str(position), a=1)))
    with pytest.raises(Conflict, match=r"^[0-9]:The specified entity already exists\.$"):
        await table.write_together([Operation(Write.INSERT, row(str(number))) for number in range(3)])
    assert len(await table.query("PartitionKey eq 'p'")) == 1


async def test_a_failed_guard_keeps_all_rows_of_a_transaction_out(table: StorageTable) -> None:
    stale = await table.write(Operation(Write.INSERT, row("guard")))
    await table.write(Operation(Write.MERGE, row("guard", a=1)))
    with pytest.raises(Conflict):
        await table.write_together(
            [Operation(Write.INSERT, row("1")), Operation(Write.MERGE, row("guard", a=2), stale)]
        )
    assert [each.columns["RowKey"] for each in await table.query("PartitionKey eq 'p'")] == ["guard"]


async def test_an_absent_row_is_reported_as_missing(table: StorageTable) -> None:
    with pytest.raises(Missing):
        await table.get("p", "1")
    with pytest.raises(Missing):
        await table.write(Operation(Write.MERGE, row(), "W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\""))


async def test_a_query_goes_on_through_all_pages(table: StorageTable) -> None:
    for first in range(0, 1100, 100):
        await table.write_together([Operation(Write.INSERT, row(f"{n:04}")) for n in range(first, first + 100)])
    found = await table.query("PartitionKey eq 'p'")
    assert [each.columns["RowKey"] for each in found] == [f"{number:04}" for number in range(1100)]
