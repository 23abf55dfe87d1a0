"""Decides when an instance with messages runs its next episode: at once, unless more messages are about to arrive.

Rule of this file: messages wait here only while activities are running, and not for long after their last result.

An episode replays the whole history and costs one storage transaction, no matter how many results it records. So an
instance with running activities rests after each episode, longer after longer ones, and results gather. Queues get
slower the more messages they have, so executions that will schedule many activities begin when others have done
theirs, however fast activities and storage are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from durablehost.core.history import ExecutionStarted
from durablehost.core.messages import TaskMessage, completed_task_id
from durablehost.storage.messages.sessions import Batch

RESTS_PER_EPISODE = 2.0
LONGEST_REST_SECONDS = 1.0
MANY_MESSAGES = 128
MANY_REQUESTS = 64
# Without requests and results for so long, the activities are slow, and waiting for them gains nothing.
QUIET_SECONDS = 0.25
# Assumed number of requests of an orchestrator's first episode, until one has been seen.
UNKNOWN_REQUESTS = 32
# At least one execution begins in each such period, however busy the hub. A root has a client that waits for it.
BEGIN_SECONDS = 0.25
BEGIN_CHILD_SECONDS = 1.0
# A child that schedules more than a few activities begins when those of others are done: before, they would only make
# storage slower. But it begins after so long without any result, because what is running may wait for it.
FEW_REQUESTS = 8
STALLED_SECONDS = 5.0


class Requests:
    """The activity requests that this host has sent and not received the results of, whichever host runs them."""

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


# The name of an orchestrator, and whether it has a parent: one often plans at the root and works as a child.
_Kind = tuple[str, bool]


def _kind_of(start: ExecutionStarted) -> _Kind:
    return start.name, start.parent_instance is not None


@dataclass
class _FirstEpisode:
    """The first episode of an execution, and how many requests it has sent so far."""

    kind: _Kind
    began_at: float
    sent: int = 0


@dataclass(frozen=True)
class _Usual:
    """What the last first episode of a kind took: requests and seconds."""

    requests: int
    seconds: float


class Pace:
    """The pace of the episodes of all instances of a hub.

    `now` is a monotonic clock in seconds. `are_results_recorded` returns whether episodes keep up with the results.
    """

    def __init__(self, now: Callable[[], float], are_results_recorded: Callable[[], bool] = lambda: True) -> None:
        self._now = now
        self._are_results_recorded = are_results_recorded
        self._requests = Requests()
        self._began_at: dict[str, float] = {}
        self._rests_until = 0.0
        self._moved_at = 0.0
        self._result_at = 0.0
        self._execution_began_at = 0.0
        # Executions whose first episode has not ended.
        self._first_episodes: dict[str, _FirstEpisode] = {}
        self._usual: dict[_Kind, _Usual] = {}

    def sent(self, message: TaskMessage) -> None:
        """Notes that this host is sending a message."""
        if not message.is_activity_request:
            return
        instance_id = message.target.instance_id
        self._requests.add(instance_id, message.event.event_id)
        self._moved_at = self._now()
        if instance_id in self._first_episodes:
            self._first_episodes[instance_id].sent += 1

    def received(self, message: TaskMessage) -> None:
        """Notes that this host has received a message for an instance."""
        task_id = completed_task_id(message.event)
        if task_id is not None:
            self._requests.discard(message.target.instance_id, task_id)
            self._moved_at = self._result_at = self._now()

    def begin(self, batch: Batch) -> None:
        """Notes the begin of an episode."""
        self._began_at[batch.instance_id] = self._now()
        if start := batch.start:
            self._moved_at = self._execution_began_at = self._now()
            self._first_episodes[batch.instance_id] = _FirstEpisode(_kind_of(start), self._now())

    def end(self, instance_id: str, *, is_over: bool) -> None:
        """Notes the end of an episode; `is_over`: the execution has ended, too."""
        now = self._now()
        busy = now - self._began_at.pop(instance_id, now)
        if first_episode := self._first_episodes.pop(instance_id, None):
            self._usual[first_episode.kind] = _Usual(first_episode.sent, now - first_episode.began_at)
        if is_over:
            self._requests.forget(instance_id)
        elif self._requests.of(instance_id):
            self._rests_until = max(self._rests_until, now) + busy * RESTS_PER_EPISODE

    def forget_requests(self) -> None:
        """Stops waiting for results: the requests may be lost."""
        self._requests = Requests()

    def wait_seconds(self, batch: Batch, ready_at: float) -> float:
        """How much longer a batch, ready since `ready_at`, has to wait; 0 if its episode is due."""
        now = self._now()
        if start := batch.start:
            return max(0.0, self._begins_at(start, ready_at) - now)
        if not self._requests.of(batch.instance_id) or len(batch.messages) >= MANY_MESSAGES:
            return 0
        return max(0.0, min(self._rests_until, ready_at + LONGEST_REST_SECONDS) - now)

    def _begins_at(self, start: ExecutionStarted, ready_at: float) -> float:
        began_at = max(ready_at, self._execution_began_at)
        kind = _kind_of(start)
        if start.parent_instance and self._is_large(kind):
            has_room = self._requests.count < MANY_REQUESTS and not self._is_large_one_beginning()
            if has_room and self._are_results_recorded():
                return ready_at
            return max(began_at, self._result_at) + STALLED_SECONDS
        if self._requests.count + self._requests_to_come() < MANY_REQUESTS:
            return ready_at
        wait_seconds = BEGIN_CHILD_SECONDS if start.parent_instance else BEGIN_SECONDS
        # Where storing the requests takes long, another execution must not double what is to be stored.
        if usual := self._usual.get(kind):
            wait_seconds = max(wait_seconds, usual.seconds)
        return min(began_at + wait_seconds, self._moved_at + QUIET_SECONDS)

    def _is_large(self, kind: _Kind) -> bool:
        """Whether executions of this kind send many requests; an unknown kind may, while its first one begins."""
        if usual := self._usual.get(kind):
            return usual.requests > FEW_REQUESTS
        return any(first.kind == kind for first in self._first_episodes.values())

    def _is_large_one_beginning(self) -> bool:
        return any(self._is_large(first.kind) for first in self._first_episodes.values())

    def _requests_to_come(self) -> int:
        return sum(max(self._usual_of(first.kind) - first.sent, 0) for first in self._first_episodes.values())

    def _usual_of(self, kind: _Kind) -> int:
        usual = self._usual.get(kind)
        return usual.requests if usual else UNKNOWN_REQUESTS
