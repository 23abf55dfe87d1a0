"""How the rows of an episode are split into transactions."""

from __future__ import annotations

import json

import pytest

from durablehost.storage.rows.history_table import MAX_TRANSACTION_BYTES, transactions
from durablehost.storage.rows.table import Row


def rows(count: int, text: str = "") -> list[Row]:
    return [{"RowKey": f"{number:016X}", "Result": text} for number in range(count)]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (99, [99]), (100, [99, 1]), (250, [99, 99, 52])])
def test_a_transaction_has_room_for_ninety_nine_rows_and_the_sentinel(count: int, sizes: list[int]) -> None:
    split = list(transactions(rows(count)))
    assert [len(part) for part in split] == sizes
    assert [row for part in split for row in part] == rows(count)


@pytest.mark.parametrize("text", ["x" * 30_000, "é" * 30_000, "\x00" * 30_000, '"' * 30_000, "😀" * 15_000])
def test_a_transaction_stays_below_three_mebibytes_as_it_is_sent_and_as_it_is_stored(text: str) -> None:
    split = list(transactions(rows(150, text)))
    assert sum(len(part) for part in split) == 150
    assert all(len(json.dumps(part)) < MAX_TRANSACTION_BYTES for part in split)
    assert all(len(part) * len(text.encode("utf-16-le")) < MAX_TRANSACTION_BYTES for part in split)


def test_a_row_larger_than_all_limits_is_a_transaction_of_its_own() -> None:
    large = "x" * (MAX_TRANSACTION_BYTES + 1)
    assert [len(part) for part in transactions(rows(2, large))] == [1, 1]
