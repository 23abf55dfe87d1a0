"""Orchestrations over the real SDK, with messages in any order: the engine's own code, without storage or time.

The hub stores the checkpoints of the engine. A random generator decides which instance is next, with which messages,
in which order, which messages come twice, and which checkpoints are lost, whole or in part, after some or all of their
messages were sent.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import azure.durable_functions as df

from durablehost.app.invocation import Failure, Invocation, InvocationResult
from durablehost.core.actions import HTTP_ACTIVITY
from durablehost.core.checkpoint import Checkpoint
from durablehost.core.history import ExecutionStarted, GenericEvent, HistoryEvent, OrchestrationInstance
from durablehost.core.lineage import is_overtaken
from durablehost.core.messages import TaskMessage
from durablehost.core.state import fold
from durablehost.core.status import RuntimeStatus
from durablehost.engine.activities import Activities
from durablehost.engine.entities import Entities
from durablehost.engine.instances import Instances
from durablehost.engine.orchestrations import Orchestrations
from durablehost.engine.ports import ActivityWorkItem, OrchestrationWorkItem, ReceivedMessage
from packages.durablehost.tests.hubs.rewind import rewind_histories
from packages.durablehost.tests.unit.engine.scripted import function

MAX_STEPS = 3000
ROOT = "root"


@dataclass
class SdkExecutor:
    """Runs orchestrators and entities through the SDK's own entry points, activities as functions of their input."""

    orchestrators: Mapping[str, Callable[..., Any]]
    activities: Mapping[str, Callable[[Any], Any]]
    entities: Mapping[str, Callable[..., Any]]
    runs: int = 0

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_name == HTTP_ACTIVITY:
            return InvocationResult(failure=Failure(type_name="ClientError", message="no network", stack="stack"))
        text = invocation.inputs["context"]
        assert isinstance(text, str)
        try:
            return InvocationResult(return_value=self._call(invocation.function_name, text))
        except Exception as error:
            return InvocationResult(failure=Failure(type_name=type(error).__name__, message=str(error), stack="stack"))

    def _call(self, name: str, text: str) -> str:
        if name in self.entities:
            state: str = df.Entity.create(self.entities[name])(text)
            return state
        if name not in self.orchestrators:
            return json.dumps(self.activities[name](json.loads(text)))
        self.runs += 1
        with warnings.catch_warnings():
            # The SDK warns about its own deprecations, and about duplicate completions, which this test causes.
            warnings.simplefilter("ignore")
            result: str = df.Orchestrator.create(self.orchestrators[name])(text)
            return result


@dataclass
class SimulatedHub:
    """The hub of the simulation: stored histories, and messages that wait for delivery."""

    histories: dict[str, tuple[HistoryEvent, ...]] = field(default_factory=dict)
    waiting: list[ReceivedMessage] = field(default_factory=list)
    kept: dict[str, list[ReceivedMessage]] = field(default_factory=dict)
    # Messages that were deferred since the last change.
    deferred_ids: set[str] = field(default_factory=set)
    # Of the next checkpoint, if a crash is to cut it; None: all.
    kept_rows: int | None = None
    sent_messages: int | None = None
    stored: int = 0
    sent: list[TaskMessage] = field(default_factory=list)

    def put(self, message: TaskMessage) -> str:
        self.stored += 1
        self.sent.append(message)
        self.waiting.append(ReceivedMessage(message_id=str(self.stored), message=message, dequeue_count=0))
        return str(self.stored)

    async def complete_orchestration(
        self,
        item: OrchestrationWorkItem,
        checkpoint: Checkpoint,
        *,
        deferred: Sequence[ReceivedMessage] = (),
        kept: Sequence[ReceivedMessage] = (),
    ) -> None:
        outbox = checkpoint.outbox[: self.sent_messages]
        for message in outbox:
            self.put(message)
        if checkpoint.new_events or checkpoint.outbox or self.kept_rows is not None:
            # What this item has recorded may be what a deferred message of it waits for.
            self.deferred_ids.clear()
        else:
            self.deferred_ids.update(each.message_id for each in deferred)
        is_new = checkpoint.update is not None and checkpoint.update.execution_id != item.execution_id
        past = () if is_new else item.history
        reached = [stage.events for stage in checkpoint.stages if stage.sent <= len(outbox)]
        ahead = reached[-1] if reached else ()
        if ahead:
            self.histories[item.instance_id] = (*item.history, *ahead)
        if checkpoint.new_events and (self.kept_rows is None or not is_new):
            kept_rows = self.kept_rows if len(outbox) == len(checkpoint.outbox) else 0
            rows = None if kept_rows is None else max(kept_rows, len(ahead))
            self.histories[item.instance_id] = (*past, *checkpoint.new_events[:rows])
        self.kept[item.instance_id] = list(kept) if self.kept_rows is None else []
        self.waiting += deferred if self.kept_rows is None else item.messages

    async def complete_activity(self, item: ActivityWorkItem, result: TaskMessage) -> None:
        self.put(result)

    async def get_instance(self, instance_id: str) -> None:
        return None

    async def read_history(self, instance_id: str) -> tuple[HistoryEvent, ...]:
        return self.histories.get(instance_id, ())


class Simulation:
    """One run of one orchestrator and all that it starts."""

    hub_type: type[SimulatedHub] = SimulatedHub

    def __init__(
        self,
        orchestrators: Mapping[str, Callable[..., Any]],
        activities: Mapping[str, Callable[[Any], Any]] | None = None,
        entities: Mapping[str, Callable[..., Any]] | None = None,
        *,
        seed: int = 0,
        losses: float = 0.0,
        duplicates: float = 0.0,
    ) -> None:
        self.random = random.Random(seed)
        self.losses = losses
        self.may_lose: Callable[[str], bool] = lambda instance_id: True
        self.duplicates = duplicates
        # A copy is not copied again, because a message that waits for long would multiply.
        self._copies: set[str] = set()
        self.at = datetime(2026, 3, 1, 10, tzinfo=timezone.utc)
        self.hub = self.hub_type()
        self.executor = SdkExecutor(orchestrators, activities or {}, entities or {})
        functions = {name.lower(): function(name, "orchestrationTrigger") for name in orchestrators}
        work = {name.lower(): function(name, "activityTrigger") for name in self.executor.activities}
        stateful = {name.lower(): function(name, "entityTrigger") for name in self.executor.entities}
        self.instances = Instances(
            self.hub,  # type: ignore[arg-type]
            Orchestrations(self.hub, self.executor, functions, self),  # type: ignore[arg-type]
            Entities(self.hub, self.executor, stateful, self),  # type: ignore[arg-type]
        )
        self.work = Activities(self.hub, self.executor, work, self)  # type: ignore[arg-type]

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    async def run(
        self, name: str, value: Any = None, *, events: Sequence[HistoryEvent] = ()
    ) -> tuple[RuntimeStatus, Any]:
        """Runs to the last message, with events that a client sends to the root; its status and its output."""
        instance = OrchestrationInstance(instance_id=ROOT, execution_id="e" * 32)
        text = json.dumps(json.dumps(value))
        start = ExecutionStarted(timestamp=self.now(), orchestration_instance=instance, name=name, input=text)
        self.hub.put(TaskMessage(event=start, target=instance))
        return await self.send(*events)

    async def send(self, *events: HistoryEvent) -> tuple[RuntimeStatus, Any]:
        """Sends events to the root as a client, then runs to the last message."""
        return await self.send_to(ROOT, *events)

    async def send_to(self, instance_id: str, *events: HistoryEvent) -> tuple[RuntimeStatus, Any]:
        target = OrchestrationInstance(instance_id=instance_id, execution_id=None)
        for event in events:
            self.hub.put(TaskMessage(event=event, target=target))
        await self.settle()
        return self.end_of(ROOT)

    async def settle(self) -> None:
        """Runs to the last message."""
        for _ in range(MAX_STEPS):
            if not self._wanted():
                return
            await self._step()
        raise AssertionError(f"not finished after {MAX_STEPS} steps: {self.hub.histories.get(ROOT)}")

    async def rewind(self) -> tuple[RuntimeStatus, Any]:
        """Rewinds the root, then runs to the last message."""
        histories = self.hub.histories
        for instance_id in rewind_histories(ROOT, lambda each: histories.get(each, ()), histories.__setitem__):
            wake = GenericEvent(timestamp=self.now(), data="again")
            self.hub.put(
                TaskMessage(event=wake, target=OrchestrationInstance(instance_id=instance_id, execution_id=None))
            )
        return await self.send()

    def end_of(self, instance_id: str) -> tuple[RuntimeStatus, Any]:
        history = self.hub.histories[instance_id]
        status = fold(history).status
        result = next((event.result for event in reversed(history) if hasattr(event, "orchestration_status")), None)  # type: ignore[attr-defined]
        return status, json.loads(result) if status is RuntimeStatus.COMPLETED and result else result

    def _wanted(self) -> list[ReceivedMessage]:
        """Returns the messages whose delivery can have an effect."""
        return [received for received in self.hub.waiting if received.message_id not in self.hub.deferred_ids]

    async def _step(self) -> None:
        due = [received for received in self.hub.waiting if (received.message.due_at or self.at) <= self.at]
        wanted = self._wanted()
        if not any(received in due for received in wanted):
            self.at = min(received.message.due_at or self.at for received in wanted)
            return
        first = self.random.choice(due)
        if first.message.is_activity_request:
            await self._run_activity(first)
        else:
            await self._run_episode(first.message.target.instance_id, due)

    async def _run_activity(self, received: ReceivedMessage) -> None:
        self._take([received])
        await self.work.process(ActivityWorkItem(received=received))

    async def _run_episode(self, instance_id: str, due: Sequence[ReceivedMessage]) -> None:
        mine = [
            received
            for received in due
            if received.message.target.instance_id == instance_id and not received.message.is_activity_request
        ]
        self.random.shuffle(mine)
        history = self.hub.histories.get(instance_id, ())
        if not history:
            mine.sort(key=lambda received: not isinstance(received.message.event, ExecutionStarted))
        batch = mine[: self.random.randint(1, len(mine))]
        # A start begins an item of its own.
        batch = [each for i, each in enumerate(batch) if i == 0 or not isinstance(each.message.event, ExecutionStarted)]
        replaced = None
        if replacement := next((each for each in mine if _replaces(each, history)), None):
            # A new execution under an id in use: it begins an item of its own, without the history of the old one.
            replaced, history, batch = fold(history).execution_id, (), [replacement]
        self._take(batch)
        batch = [*self.hub.kept.pop(instance_id, []), *batch]
        # Rows are stored in transactions: a crash leaves none of them or some of the first, never only the very first.
        is_lost = self.may_lose(instance_id) and self.random.random() < self.losses
        self.hub.kept_rows = self.random.choice([0, 2, 3, 5, 8]) if is_lost else None
        self.hub.sent_messages = self.random.choice([0, 1, 2, None, None, None]) if is_lost else None
        await self.instances.process(
            OrchestrationWorkItem(
                instance_id=instance_id,
                execution_id=fold(history).execution_id or next(filter(None, map(_execution_id, batch)), None),
                history=history,
                messages=tuple(replace(received, dequeue_count=received.dequeue_count + 1) for received in batch),
                replaces=replaced,
            )
        )

    def _take(self, batch: Sequence[ReceivedMessage]) -> None:
        """Removes messages from the queue, and leaves a copy of some there for a second delivery."""
        for received in batch:
            self.hub.waiting.remove(received)
            if received.message_id not in self._copies and self.random.random() < self.duplicates:
                self._copies.add(self.hub.put(received.message))


def _replaces(received: ReceivedMessage, history: Sequence[HistoryEvent]) -> bool:
    current = fold(history).started
    event = received.message.event
    return isinstance(event, ExecutionStarted) and current is not None and not is_overtaken(event, current)


def _execution_id(received: ReceivedMessage) -> str | None:
    return received.message.target.execution_id
