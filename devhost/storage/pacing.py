"""When an instance that has messages takes its next turn: at once, unless more is about to come.

Rule of this file: whatever waits here waits for a bounded time, and only while activities are under way.

A turn replays the whole history and costs the storage a transaction, however many completions it takes in. So turns of
instances that have activities under way are followed by rests, longer after longer ones, in which completions gather.
And queues get slower with all that is stored in them: while many activities are under way, and get answered, executions
that will ask for more begin one after another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devhost.core.history import ExecutionStarted
from devhost.core.messages import TaskMessage, answered_task_id
from devhost.storage.sessions import Batch

RESTS_PER_TURN = 2.0
LONGEST_REST_SECONDS = 1.0
MANY_MESSAGES = 128
MANY_REQUESTS = 64
# No request and no answer for so long: the activities are slow, and nothing is gained by waiting for them.
QUIET_SECONDS = 0.25
# What the first turn of an orchestrator is taken to ask for while none has been seen.
UNKNOWN_REQUESTS = 32
# However much is under way, one execution begins in so long a time.
BEGIN_SECONDS = 0.25
BEGIN_CHILD_SECONDS = 1.0


class Requests:
    """The activity requests that this host has sent and not seen answered, whoever answers them."""

    def __init__(self) -> None:
        self._task_ids: dict[str, set[int]] = {}
        self.count = 0

    def of(self, instance_id: str) -> int:
        return len(self._task_ids.get(instance_id, ()))

    def add(self, instance_id: str, task_id: int) -> None:
        task_ids = self._task_ids.setdefault(instance_id, set())
        self.count += task_id not in task_ids
        task_ids.add(task_id)

    def discard(self, instance_id: str, task_id: int) -> None:
        task_ids = self._task_ids.get(instance_id, set())
        if task_id in task_ids:
            task_ids.remove(task_id)
            self.count -= 1
        if not task_ids:
            self._task_ids.pop(instance_id, None)

    def forget(self, instance_id: str) -> None:
        self.count -= len(self._task_ids.pop(instance_id, ()))


# The name of an orchestrator, and whether it has a parent: the same one often plans at the top and works below.
_Kind = tuple[str, bool]


def _kind_of(start: ExecutionStarted) -> _Kind:
    return start.name, start.parent_instance is not None


@dataclass
class _FirstTurn:
    """The first turn of an execution, and how many requests it has sent by now."""

    kind: _Kind
    sent: int = 0


class Pace:
    """The turns of all instances of a hub; `now` is a clock in seconds that never steps."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._requests = Requests()
        self._began_at: dict[str, float] = {}
        self._rests_until = 0.0
        self._moved_at = 0.0
        self._execution_began_at = 0.0
        # Executions whose first turn has not ended.
        self._first_turns: dict[str, _FirstTurn] = {}
        # How many requests such a turn has sent last.
        self._usual_requests: dict[_Kind, int] = {}

    def sent(self, message: TaskMessage) -> None:
        """This host is sending a message."""
        if not message.is_activity_request:
            return
        instance_id = message.target.instance_id
        self._requests.add(instance_id, message.event.event_id)
        self._moved_at = self._now()
        if instance_id in self._first_turns:
            self._first_turns[instance_id].sent += 1

    def received(self, message: TaskMessage) -> None:
        """A message for an instance has come."""
        task_id = answered_task_id(message.event)
        if task_id is not None:
            self._requests.discard(message.target.instance_id, task_id)
            self._moved_at = self._now()

    def begin(self, batch: Batch) -> None:
        """A turn begins."""
        self._began_at[batch.instance_id] = self._now()
        if start := batch.start:
            self._first_turns[batch.instance_id] = _FirstTurn(_kind_of(start))
            self._moved_at = self._execution_began_at = self._now()

    def end(self, instance_id: str, *, is_over: bool) -> None:
        """A turn has ended; `is_over` where the execution has, too."""
        now = self._now()
        busy = now - self._began_at.pop(instance_id, now)
        if first_turn := self._first_turns.pop(instance_id, None):
            self._usual_requests[first_turn.kind] = first_turn.sent
        if is_over:
            self._requests.forget(instance_id)
        elif self._requests.of(instance_id):
            self._rests_until = max(self._rests_until, now) + busy * RESTS_PER_TURN

    def forget_requests(self) -> None:
        """What was asked for may never be answered."""
        self._requests = Requests()

    def wait_seconds(self, batch: Batch, ready_at: float) -> float:
        """How long a batch has to wait yet that has been ready since then; 0 where its turn is due."""
        now = self._now()
        if start := batch.start:
            return max(0.0, min(self._begins_at(start, ready_at), self._moved_at + QUIET_SECONDS) - now)
        if not self._requests.of(batch.instance_id) or len(batch.messages) >= MANY_MESSAGES:
            return 0
        return max(0.0, min(self._rests_until, ready_at + LONGEST_REST_SECONDS) - now)

    def _begins_at(self, start: ExecutionStarted, ready_at: float) -> float:
        if self._requests.count + self._requests_to_come() < MANY_REQUESTS:
            return ready_at
        wait_seconds = BEGIN_CHILD_SECONDS if start.parent_instance else BEGIN_SECONDS
        return max(ready_at, self._execution_began_at) + wait_seconds

    def _requests_to_come(self) -> int:
        turns = self._first_turns.values()
        return sum(max(self._usual_requests.get(turn.kind, UNKNOWN_REQUESTS) - turn.sent, 0) for turn in turns)
