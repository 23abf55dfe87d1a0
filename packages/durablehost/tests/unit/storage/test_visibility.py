"""How long messages stay invisible if a host is killed before it has extended their timeouts."""

from __future__ import annotations

from typing import cast

from durablehost.storage.messages.queues import MessageQueue, StoredMessage
from durablehost.storage.messages.visibility import FIRST_SECONDS, Extender


class SlowQueue:
    """Answers after so many seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.now = 100.0
        self.timeouts: list[int] = []

    async def get(self, count: int, *, visibility_seconds: int) -> list[StoredMessage]:
        self.timeouts.append(visibility_seconds)
        self.now += self.seconds
        return []


async def test_the_first_timeout_is_longer_for_a_while_after_storage_has_answered_late() -> None:
    queue = SlowQueue()
    extender = Extender(lambda coroutine, name: None, lambda: queue.now)
    for seconds in (0.0, 2.0, *[0.0] * 100):
        queue.seconds = seconds
        await extender.receive(cast(MessageQueue, queue), 1, visibility_seconds=300)
    assert queue.timeouts[:3] == [FIRST_SECONDS, FIRST_SECONDS, FIRST_SECONDS + 8]
    assert queue.timeouts[2:] == sorted(queue.timeouts[2:], reverse=True)
    assert queue.timeouts[-1] == FIRST_SECONDS
