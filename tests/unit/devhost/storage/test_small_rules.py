"""Delays, back-off, and the memory of histories: the small rules that storage timing rests on."""

from __future__ import annotations

import asyncio

import pytest

from devhost.storage.concurrency import call_each
from devhost.storage.history_cache import HistoryCache
from devhost.storage.history_table import History
from devhost.storage.listening import poll_wait_seconds
from devhost.storage.queues import MAX_DELAY_SECONDS, back_off_seconds, whole_delay
from tests.hubs import build


def test_a_message_given_up_stays_away_longer_each_time_up_to_ten_minutes() -> None:
    assert [back_off_seconds(count) for count in (1, 2, 3, 9, 10, 50)] == [2, 4, 8, 512, 600, 600]


def test_a_delay_is_rounded_up_and_neither_negative_nor_longer_than_the_service_allows() -> None:
    assert [whole_delay(seconds) for seconds in (-5, 0, 0.001, 1, 1.2)] == [0, 0, 1, 1, 2]
    assert whole_delay(40 * 24 * 3600) == MAX_DELAY_SECONDS


def test_an_empty_queue_is_asked_more_and_more_seldom() -> None:
    waits = [poll_wait_seconds(count, 30, 1.0) for count in range(1, 8)]
    assert waits == pytest.approx([0.05, 0.1, 0.15, 0.25, 0.45, 0.85, 1.65])
    assert poll_wait_seconds(50, 30, 1.0) == 30
    assert poll_wait_seconds(1, 0.01, 1.0) == 0.01


def history(event_count: int) -> History:
    event = build.event_raised("a", "x").event
    return History(execution_id="e1", events=(event,) * event_count, sentinel_etag="1")


def test_the_history_used_longest_ago_is_forgotten_first() -> None:
    cache = HistoryCache(max_events=10)
    cache.put("a", history(4))
    cache.put("b", history(4))
    assert cache.get("a") is not None
    cache.put("c", history(4))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None


def test_a_history_is_counted_once_however_often_it_is_put() -> None:
    cache = HistoryCache(max_events=10)
    for _ in range(5):
        cache.put("a", history(8))
    assert cache.get("a") is not None


def test_a_history_larger_than_all_there_is_room_for_is_not_kept() -> None:
    cache = HistoryCache(max_events=10)
    cache.put("a", history(11))
    assert cache.get("a") is None


async def test_calls_run_side_by_side_within_the_limit_and_answer_in_order() -> None:
    running = 0
    most = 0

    async def double(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number * 2

    assert await call_each(double, range(20), limit=4) == [number * 2 for number in range(20)]
    assert most == 4


async def test_the_first_error_is_raised_when_all_calls_have_ended() -> None:
    ended = []

    async def call(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)
        if number in (1, 2):
            raise ValueError(str(number))

    with pytest.raises(ValueError, match="1"):
        await call_each(call, range(4))
    assert sorted(ended) == [0, 1, 2, 3]
