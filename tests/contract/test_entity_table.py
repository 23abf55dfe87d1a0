"""Rows of a table, written by devhost and read by the official client, and the reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timezone

import pytest

from devhost.storage.entity_table import EntityTable, Operation, Row, Write
from devhost.storage.options import StorageOptions
from devhost.storage.refusal import Conflict, Missing
from devhost.storage.services import open_services
from tests.contract.account import Account

AT = datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=timezone.utc)
KEYS = ["plain", "o'clock", "a b^0", "50%25 & more", "日本", "\u00a0x"]


def row(row_key: str = "1", partition_key: str = "p", **columns: str | int | bool | datetime) -> Row:
    return {"PartitionKey": partition_key, "RowKey": row_key, **columns}


@pytest.fixture
async def table(options: StorageOptions) -> AsyncIterator[EntityTable]:
    async with open_services(options.connection) as services:
        await services.tables.create_table(options.hub_name)
        yield EntityTable(services.table_service, options.hub_name)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("is_together", [False, True])
async def test_a_row_is_what_the_official_client_reads(
    table: EntityTable, account: Account, key: str, is_together: bool
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


async def test_an_insert_meets_no_row_and_a_replacement_and_a_merge_meet_any(table: EntityTable) -> None:
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
async def test_an_etag_guards_a_row(table: EntityTable, write: Write) -> None:
    first = await table.write(Operation(Write.INSERT, row(a=1)))
    second = await table.write(Operation(write, row(a=2), first))
    with pytest.raises(Conflict):
        await table.write(Operation(write, row(a=3), first))
    assert (await table.get("p", "1")).etag == second


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_of_rows_that_are_written_together_all_or_none_are(table: EntityTable, position: int) -> None:
    await table.write(Operation(Write.INSERT, row(str(position), a=1)))
    with pytest.raises(Conflict, match=r"^[0-9]:The specified entity already exists\.$"):
        await table.write_together([Operation(Write.INSERT, row(str(number))) for number in range(3)])
    assert len(await table.query("PartitionKey eq 'p'")) == 1


async def test_a_guard_among_rows_that_are_written_together_keeps_all_out(table: EntityTable) -> None:
    stale = await table.write(Operation(Write.INSERT, row("guard")))
    await table.write(Operation(Write.MERGE, row("guard", a=1)))
    with pytest.raises(Conflict):
        await table.write_together(
            [Operation(Write.INSERT, row("1")), Operation(Write.MERGE, row("guard", a=2), stale)]
        )
    assert [each.columns["RowKey"] for each in await table.query("PartitionKey eq 'p'")] == ["guard"]


async def test_a_row_that_is_not_there_is_missing(table: EntityTable) -> None:
    with pytest.raises(Missing):
        await table.get("p", "1")
    with pytest.raises(Missing):
        await table.write(Operation(Write.MERGE, row(), "W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\""))


async def test_a_query_goes_on_through_all_pages(table: EntityTable) -> None:
    for first in range(0, 1100, 100):
        await table.write_together([Operation(Write.INSERT, row(f"{n:04}")) for n in range(first, first + 100)])
    found = await table.query("PartitionKey eq 'p'")
    assert [each.columns["RowKey"] for each in found] == [f"{number:04}" for number in range(1100)]
