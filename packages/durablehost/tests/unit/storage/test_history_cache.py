"""Which histories are cached in memory, and which are evicted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from durablehost.core.history import HistoryEvent
from durablehost.storage.rows import history_cache
from durablehost.storage.rows.history_cache import HistoryCache
from durablehost.storage.rows.history_table import History
from durablehost.storage.sizes import EVENT_BYTES, event_bytes
from packages.durablehost.tests.hubs import build

TEXT = "x" * 20_000


def events(count: int) -> tuple[HistoryEvent, ...]:
    return tuple(build.event_raised("a", "x", input_text=TEXT).event for _ in range(count))


def history(of: Iterable[HistoryEvent]) -> History:
    return History(execution_id="e1", events=tuple(of), sentinel_etag="1")


ONE = event_bytes(events(1)[0])


def test_the_size_of_an_event_is_that_of_its_texts_and_an_overhead() -> None:
    assert len(TEXT) < ONE - EVENT_BYTES < len(TEXT) + 200
    assert event_bytes(build.event_raised("a", "x", input_text="ё" * 20_000).event) > 2 * len(TEXT)


def test_the_history_used_longest_ago_is_forgotten_first() -> None:
    cache = HistoryCache(max_bytes=10 * ONE)
    cache.put("a", history(events(4)))
    cache.put("b", history(events(4)))
    assert cache.get("a") is not None
    cache.put("c", history(events(4)))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None


def test_a_history_is_counted_once_however_often_it_is_put() -> None:
    cache = HistoryCache(max_bytes=10 * ONE)
    for _ in range(5):
        cache.put("a", history(events(8)))
    assert cache.get("a") is not None


def test_a_history_larger_than_the_cache_is_not_kept() -> None:
    cache = HistoryCache(max_bytes=10 * ONE)
    cache.put("a", history(events(11)))
    assert cache.get("a") is None


def test_a_history_is_measured_by_all_its_events_however_it_grew() -> None:
    cache = HistoryCache(max_bytes=10 * ONE)
    grown = events(1)
    while len(grown) <= 10:
        cache.put("a", history(grown))
        assert cache.get("a") is not None
        grown += events(1)
    cache.put("a", history(grown))
    assert cache.get("a") is None


def test_a_history_that_replaces_another_is_measured_alone() -> None:
    cache = HistoryCache(max_bytes=10 * ONE)
    cache.put("a", history(events(9)))
    cache.put("a", history(events(3)))
    cache.put("b", history(events(7)))
    assert cache.get("a") is not None
    assert cache.get("b") is not None


def test_an_event_that_was_measured_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[HistoryEvent] = []

    def measure(event: HistoryEvent) -> int:
        measured.append(event)
        return 1

    monkeypatch.setattr(history_cache, "event_bytes", measure)
    cache = HistoryCache()
    grown: tuple[HistoryEvent, ...] = ()
    for _ in range(20):
        grown += events(1)
        cache.put("a", history(grown))
    assert measured == list(grown)
