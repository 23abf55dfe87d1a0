"""How long a dispatcher waits for a storage that does not answer."""

from __future__ import annotations

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from devhost.resilience import MAX_BACK_OFF_SECONDS, back_off_seconds


def test_the_wait_doubles_up_to_the_longest() -> None:
    assert [back_off_seconds(failures) for failures in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert back_off_seconds(10) == MAX_BACK_OFF_SECONDS


def test_a_storage_that_is_gone_for_days_is_still_waited_for() -> None:
    assert back_off_seconds(100_000) == MAX_BACK_OFF_SECONDS
