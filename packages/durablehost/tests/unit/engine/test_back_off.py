"""How long a dispatcher waits for an unavailable storage."""

from __future__ import annotations

import pytest

pytest.importorskip("anyio", reason="the engine owns its tasks through anyio")

from durablehost.resilience import MAX_BACK_OFF_SECONDS, back_off_seconds


def test_the_wait_doubles_up_to_the_longest() -> None:
    assert [back_off_seconds(failures) for failures in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert back_off_seconds(10) == MAX_BACK_OFF_SECONDS


def test_the_wait_stays_at_the_longest_during_an_outage_of_several_days() -> None:
    assert back_off_seconds(100_000) == MAX_BACK_OFF_SECONDS
