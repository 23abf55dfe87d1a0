"""Large texts are converted outside the event loop, with the same results as in it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from durablehost.core.payload import normalize_result
from durablehost.errors import RequestError, WorkerCrashed
from durablehost.large_text import LARGE, call_on_text, join_pieces
from durablehost.web.stored import body_to_input, shown_json, stored_json

T = TypeVar("T")

VALUE = [{"number": n, "text": "Zoë 😀", "list": [1.5, None, True]} for n in range(40_000)]
BODY = json.dumps(VALUE, indent=1).encode()


async def with_heartbeat(work: Awaitable[T]) -> tuple[T, int]:
    """Returns the outcome, and how often another task of the event loop ran meanwhile."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1

    heart = asyncio.create_task(beat())
    try:
        return await work, beats
    finally:
        heart.cancel()


async def test_the_event_loop_stays_responsive_while_a_large_body_becomes_an_input() -> None:
    assert len(BODY) > 2 * LARGE
    text, beats = await with_heartbeat(call_on_text(body_to_input, BODY))
    assert text == body_to_input(BODY)
    assert beats >= 5


async def test_the_event_loop_stays_responsive_while_large_payloads_are_shown_and_stored() -> None:
    stored = BODY.decode()
    text, beats = await with_heartbeat(shown_json(stored))
    assert text == stored_json(stored)
    assert beats >= 5
    result, beats = await with_heartbeat(call_on_text(normalize_result, stored))
    assert result == normalize_result(stored)
    assert beats >= 5


@pytest.mark.parametrize("text", ["{" + "x" * LARGE, "\ud83d" * LARGE, '["' + "\ud83d" * LARGE + '"]'])
async def test_a_large_text_with_odd_content_is_converted_like_a_small_one(text: str) -> None:
    assert await call_on_text(stored_json, text) == stored_json(text)


async def test_a_large_text_of_null_or_blanks_is_none() -> None:
    assert await call_on_text(normalize_result, " " * LARGE + "null") is None
    assert await call_on_text(body_to_input, b" " * LARGE) is None


@pytest.mark.parametrize("body", [BODY[:-2], b"[" * LARGE, b"[NaN," + BODY[1:]])
async def test_a_large_body_that_is_not_json_is_refused_with_the_same_error_as_a_small_one(body: bytes) -> None:
    with pytest.raises(RequestError) as here:
        body_to_input(body)
    with pytest.raises(RequestError) as beside:
        await call_on_text(body_to_input, body)
    assert (beside.value.status, beside.value.message) == (here.value.status, here.value.message)
    assert beside.value.detail == here.value.detail


def die(text: str) -> str:
    os._exit(9)


async def test_a_process_that_dies_is_an_error_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    # The child process imports this module.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
    with pytest.raises(WorkerCrashed, match=r"The process that parsed a text of \d+ characters exited with code 9: "):
        await call_on_text(die, "x" * LARGE)


async def test_the_next_call_works_after_a_call_was_cancelled() -> None:
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
