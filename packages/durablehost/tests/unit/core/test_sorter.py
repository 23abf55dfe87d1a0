"""The order of one sender's requests, however they arrive."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone

import pytest

from durablehost.core.entity_messages import EntityRequest
from durablehost.core.lineage import continued_execution_id
from durablehost.core.sorter import Sent, Sorter, Stamps
from durablehost.core.ticks import NO_TIME, ticks_from_text, ticks_of, ticks_of_seconds, ticks_to_text

NOW = ticks_of(datetime(2026, 1, 5, 10, tzinfo=timezone.utc))
WINDOW = ticks_of_seconds(1800)


def requests(count: int, *, execution: str = "e1", now: int = NOW) -> list[EntityRequest]:
    stamps = Stamps(now)
    made = []
    for number in range(count):
        timestamp, predecessor = stamps.next("@log@one")
        made.append(
            EntityRequest(
                id=f"{execution}-{number}",
                operation="add",
                parent="order-42",
                parent_execution=execution,
                timestamp=timestamp,
                predecessor=predecessor,
            )
        )
    return made


def received(sorter: Sorter, *arriving: EntityRequest) -> list[str]:
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


def test_a_request_that_arrives_twice_is_delivered_once() -> None:
    first, second = requests(2)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second, second, first, first, second) == ["e1-0", "e1-1"]


def test_a_new_execution_of_the_sender_releases_waiting_requests() -> None:
    _, second = requests(2)
    (next_first,) = requests(1, execution="e2", now=NOW + 50)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second, next_first) == ["e1-1", "e2-0"]


def test_nothing_waits_for_longer_than_the_window() -> None:
    _, second = requests(2)
    (late,) = requests(1, execution="e2", now=NOW + 2 * WINDOW)
    other = EntityRequest(id="other", operation="add", parent="x", parent_execution="x1", timestamp=late.timestamp)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second) == []
    assert received(again(sorter), other) == ["e1-1", "other"]


def test_requests_older_than_the_window_are_delivered_on_arrival() -> None:
    first, second = requests(2)
    (late,) = requests(1, execution="e2", now=NOW + 2 * WINDOW)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, late, second, first) == ["e2-0", "e1-1", "e1-0"]


def test_requests_of_clients_and_forwarded_locks_are_not_sorted() -> None:
    _, second = requests(2)
    client = EntityRequest(id="client", operation="add", is_signal=True)
    handed_on = EntityRequest(
        id="lock", operation=None, parent="order-42", timestamp=NOW + 9, predecessor=NOW + 5, position=1
    )
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, second, client, client, handed_on) == ["client", "client", "lock"]


def test_without_a_window_nothing_is_sorted() -> None:
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


def test_the_state_of_another_hosts_own_requests_is_kept() -> None:
    stored = {"LastSentToInstance": {"@log@two": "2026-01-05T10:00:00Z"}, "SendHorizon": "2026-01-05T09:00:00Z"}
    assert Sorter(stored, window=WINDOW).to_json() == stored


def test_a_sender_continues_the_stamps_of_its_earlier_requests() -> None:
    stamps = Stamps(NOW, [Sent("@log@one", NOW - 5), Sent("@log@one", NOW + 100)])
    assert stamps.next("@log@one") == (NOW + 101, NOW + 100)
    assert stamps.next("@log@two") == (NOW, 0)


def test_a_request_does_not_wait_for_one_that_was_answered() -> None:
    stamps = Stamps(NOW, [Sent("@log@one", NOW + 100, is_answered=True)])
    assert stamps.next("@log@one") == (NOW + 101, NO_TIME)
    assert stamps.next("@log@one") == (NOW + 102, NOW + 101)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00", "2026-01-05T10:00:00Z", "2026-01-05T10:00:00.1234567Z", "2026-01-05T10:00:00.0000001Z"],
)
def test_times_keep_all_seven_digits(text: str) -> None:
    assert ticks_to_text(ticks_from_text(text)) == text


def test_a_late_request_of_an_earlier_execution_does_not_disturb_the_order_of_the_current_one() -> None:
    (old,) = requests(1)
    first, second = requests(2, execution=continued_execution_id("e1"), now=NOW + 10)
    sorter = Sorter(None, window=WINDOW)
    assert received(sorter, old, first, old) == [old.id, first.id, old.id]
    sorter = again(sorter)
    assert received(sorter, first, second) == [second.id]


def test_requests_to_entities_whose_keys_differ_in_case_alone_do_not_wait_for_each_other() -> None:
    """A real host numbers them together, so the second entity waits for what the first has got."""
    stamps = Stamps(NOW)
    assert [stamps.next(entity) for entity in ("@log@one", "@log@ONE")] == [(NOW, NO_TIME)] * 2
