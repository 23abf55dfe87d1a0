"""Which histories are kept in memory, and which give way."""

from __future__ import annotations

from devhost.storage.history_cache import HistoryCache
from devhost.storage.history_table import History
from tests.hubs import build


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
