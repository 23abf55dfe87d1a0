"""Server-sent events: an answer that goes on until its events end or its client disconnects."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from durablehost.core.json_text import compact
from durablehost.types import JsonValue

# Keeps connections through proxies alive, and shows that a client has gone.
SIGN_OF_LIFE = b":\n\n"


def event(name: str, value: JsonValue) -> bytes:
    """One event with a JSON value; compact JSON has no line breaks."""
    return f"event: {name}\ndata: {compact(value)}\n\n".encode()


class EventStream(web.StreamResponse):
    """Sends the events after its headers, when the edge has handed it over; so it is no running request to a drain."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self._events = events

    async def write_eof(self, data: bytes = b"") -> None:
        async with aclosing(self._events) as events:
            async for each in events:
                await self.write(each)
        await super().write_eof(data)
