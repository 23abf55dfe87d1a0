"""The order of requests of one sender, however they arrive."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone

import pytest

from devhost.core.entity_messages import Request
from devhost.core.lineage import continued_execution_id
from devhost.core.sorter import Sorter, Stamps
from devhost.core.ticks import ticks_from_text, ticks_of, ticks_of_seconds, ticks_to_text

NOW = ticks_of(datetime(2026, 1, 5, 10, tzinfo=timezone.utc))
WINDOW = ticks_of_seconds(1800)


def requests(count: int, *, execution: str = "e1", now: int = NOW) -> list[Request]:
    stamps = Stamps(now)
    made = []
    for number in range(count):
        timestamp, predecessor = stamps.next("@log@one")
        made.append(
            Request(
                id=f"{execution}-{number}",
                operation="add",
                parent="order-42",
                parent_execution=execution,
                timestamp=timestamp,
                predecessor=predecessor,
            )
        )
    return made


def received(sorter: Sorter, *arriving: Request) -> list[str]:
    return [request.id for each in arriving for request in sorter.receive(each)]


def again(sorter: Sorter) -> Sorter:
    """Stored and read back."""
    return Sorter(sorter.to_json(), window=WINDOW)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_requests_are_delivered_in_the_order_of_sending(order: tuple[int, ...]) -> None:
    sent = requests(4)
    sorter, delivered = Sorter(None, window=WINDOW), []
    for position in order:
        delivered += received(sorter, sent[position])
        sorter = again(sorter)
    assert delivered == [request.id for request in sent]


def test_what_comes_twice_is_delivered_once() -> None:
    first, second = requests(2)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second, second, first, first, second) == ["e1-0", "e1-1"]


def test_a_new_execution_of_the_sender_lets_go_of_what_waits() -> None:
    _, second = requests(2)
    (next_first,) = requests(1, execution="e2", now=NOW + 50)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second, next_first) == ["e1-1", "e2-0"]


def test_nothing_waits_for_longer_than_the_window() -> None:
    _, second = requests(2)
    (late,) = requests(1, execution="e2", now=NOW + 2 * WINDOW)
    other = Request(id="other", operation="add", parent="x", parent_execution="x1", timestamp=late.timestamp)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second) == []
    assert received(again(sorter), other) == ["e1-1", "other"]


def test_what_is_older_than_the_window_passes_as_it_comes() -> None:
    first, second = requests(2)
    (late,) = requests(1, execution="e2", now=NOW + 2 * WINDOW)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, late, second, first) == ["e2-0", "e1-1", "e1-0"]


def test_clients_and_locks_that_are_handed_on_take_no_part() -> None:
    _, second = requests(2)
    client = Request(id="client", operation="add", is_signal=True)
    handed_on = Request(
        id="lock", operation=None, parent="order-42", timestamp=NOW + 9, predecessor=NOW + 5, position=1
    )
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second, client, client, handed_on) == ["client", "client", "lock"]


def test_without_a_window_nothing_is_put_in_order() -> None:
    first, second = requests(2)
    assert received(Sorter(None, window=0), second, first, first) == ["e1-1", "e1-0", "e1-0"]


def test_the_stored_form_is_that_of_the_extension() -> None:
    first, second, third = requests(3)
    sorter = Sorter(None, window=WINDOW)
    received(sorter, first, third)
    assert sorter.to_json() == {
        "ReceivedFromInstance": {
            "order-42": {
                "Last": "2026-01-05T10:00:00Z",
                "ExecutionId": "e1",
                "Buffered": {
                    "2026-01-05T10:00:00.0000002Z": {
                        "op": "add",
                        "id": "e1-2",
                        "parent": "order-42",
                        "parentExecution": "e1",
                        "Timestamp": "2026-01-05T10:00:00.0000002Z",
                        "Predecessor": "2026-01-05T10:00:00.0000001Z",
                    }
                },
            }
        },
        "ReceiveHorizon": "2026-01-05T09:30:00.0000002Z",
    }
    assert received(again(sorter), second) == ["e1-1", "e1-2"]


def test_what_another_host_keeps_of_its_own_requests_stays() -> None:
    stored = {"LastSentToInstance": {"@log@two": "2026-01-05T10:00:00Z"}, "SendHorizon": "2026-01-05T09:00:00Z"}
    assert Sorter(stored, window=WINDOW).to_json() == stored


def test_a_sender_goes_on_from_what_it_has_sent_before() -> None:
    stamps = Stamps(NOW, [("@log@one", NOW - 5), ("@log@one", NOW + 100)])
    assert stamps.next("@log@one") == (NOW + 101, NOW + 100)
    assert stamps.next("@log@two") == (NOW, 0)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00", "2026-01-05T10:00:00Z", "2026-01-05T10:00:00.1234567Z", "2026-01-05T10:00:00.0000001Z"],
)
def test_times_keep_all_seven_digits(text: str) -> None:
    assert ticks_to_text(ticks_from_text(text)) == text


def test_a_late_request_of_an_execution_that_has_continued_as_new_leaves_the_order_of_the_next_one() -> None:
    (old,) = requests(1)
    first, second = requests(2, execution=continued_execution_id("e1"), now=NOW + 10)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, old, first, old) == [old.id, first.id, old.id]
    sorter = again(sorter)
    assert received(sorter, first, second) == [second.id]
