"""Large texts are worked on beside the event loop, and come out as if they had been worked on in it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Iterator
from typing import TypeVar

import pytest

from devhost.core.payload import normalize_result
from devhost.errors import RequestError, WorkerCrashed
from devhost.large_text import LARGE, call_on_text, join_pieces
from devhost.web.stored import body_to_input, shown_json, stored_json

T = TypeVar("T")

VALUE = [{"number": n, "text": "Zoë 😀", "list": [1.5, None, True]} for n in range(40_000)]
BODY = json.dumps(VALUE, indent=1).encode()


async def with_heartbeat(work: Awaitable[T]) -> tuple[T, int]:
    """The outcome, and how many turns another task of the event loop got meanwhile."""
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    heart = asyncio.create_task(beat())
    try:
        return await work, turns
    finally:
        heart.cancel()


async def test_the_event_loop_has_turns_while_a_large_body_becomes_an_input() -> None:
    assert len(BODY) > 2 * LARGE
    text, turns = await with_heartbeat(call_on_text(body_to_input, BODY))
    assert text == body_to_input(BODY)
    assert turns >= 5


async def test_the_event_loop_has_turns_while_a_large_payload_is_shown_and_a_large_result_is_stored() -> None:
    stored = BODY.decode()
    text, turns = await with_heartbeat(shown_json(stored))
    assert text == stored_json(stored)
    assert turns >= 5
    result, turns = await with_heartbeat(call_on_text(normalize_result, stored))
    assert result == normalize_result(stored)
    assert turns >= 5


@pytest.mark.parametrize("text", ["{" + "x" * LARGE, "\ud83d" * LARGE, '["' + "\ud83d" * LARGE + '"]'])
async def test_a_large_text_with_whatever_in_it_comes_out_as_a_small_one_would(text: str) -> None:
    assert await call_on_text(stored_json, text) == stored_json(text)


async def test_a_large_text_that_comes_to_nothing_is_nothing() -> None:
    assert await call_on_text(normalize_result, " " * LARGE + "null") is None
    assert await call_on_text(body_to_input, b" " * LARGE) is None


@pytest.mark.parametrize("body", [BODY[:-2], b"[" * LARGE, b"[NaN," + BODY[1:]])
async def test_a_large_body_that_is_no_json_is_refused_in_the_same_words(body: bytes) -> None:
    with pytest.raises(RequestError) as here:
        body_to_input(body)
    with pytest.raises(RequestError) as beside:
        await call_on_text(body_to_input, body)
    assert (beside.value.status, beside.value.message) == (here.value.status, here.value.message)
    assert beside.value.detail == here.value.detail


def die(text: str) -> str:
    os._exit(9)


async def test_a_process_that_ends_is_an_error_with_its_exit_code() -> None:
    with pytest.raises(WorkerCrashed, match=r"The process that read a text of \d+ characters exited: 9\."):
        await call_on_text(die, "x" * LARGE)


async def test_a_call_that_is_cancelled_leaves_its_turn_to_the_next_one() -> None:
    call = asyncio.create_task(call_on_text(body_to_input, BODY))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call_on_text(body_to_input, BODY) == body_to_input(BODY)


async def test_pieces_are_joined_in_order_whatever_their_sizes() -> None:
    assert await join_pieces(iter(())) == ""
    assert await join_pieces(iter(("a", "b"))) == "ab"
    large = ["x" * LARGE, "y", "z" * LARGE, "end"]
    assert await join_pieces(iter(large)) == "".join(large)


async def test_an_error_of_a_later_piece_is_raised() -> None:
    def pieces() -> Iterator[str]:
        yield "x" * 2 * LARGE
        raise KeyError("second")

    with pytest.raises(KeyError, match="second"):
        await join_pieces(pieces())
