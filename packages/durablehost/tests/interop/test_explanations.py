"""Instances that the real engine runs are explained by what it has stored: its histories, queues and leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

import pytest

from durablehost.clock import SystemClock
from durablehost.core.history import HistoryEvent, OrchestratorCompleted
from durablehost.core.open_work import open_work
from durablehost.engine.client import OrchestrationClient
from durablehost.engine.explanation import Explanation
from durablehost.storage.account.options import StorageOptions
from durablehost.storage.hub.task_hub import open_task_hub
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.interop.conftest import StartEngine
from packages.durablehost.tests.interop.kinds import HALF_WAY_SECONDS, Host, Run

T = TypeVar("T")

pytestmark = pytest.mark.azurite


def with_client(options: StorageOptions, ask: Callable[[OrchestrationClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_task_hub(options, SystemClock()) as hub:
            return await ask(OrchestrationClient(hub, None, SystemClock()))

    # In a thread, because checks that are repeated run in an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def explain(options: StorageOptions, instance_id: str) -> Explanation:
    explanation = with_client(options, lambda client: client.explain(instance_id))
    assert explanation is not None
    return explanation


def wait_for(options: StorageOptions, instance_id: str, *kinds: str, text: str) -> None:
    def explained() -> bool:
        explanation = explain(options, instance_id)
        assert tuple(reason.kind for reason in explanation.reasons) == kinds, explanation
        assert text in explanation.text
        return True

    eventually_blocking(explained, timeout_seconds=HALF_WAY_SECONDS, interval_seconds=0.3)


def attempts_in(history: Sequence[HistoryEvent]) -> list[int]:
    """The numbers of the attempts at the one activity of a history, as they are seen after each of its episodes."""
    ends = [index + 1 for index, event in enumerate(history) if isinstance(event, OrchestratorCompleted)]
    seen = [attempt.number for end in ends for attempt in open_work(history[:end]).attempts]
    paused = [pause.failures for end in ends for pause in open_work(history[:end]).pauses]
    assert paused == seen[:-1]
    return seen


def test_waits_of_instances_that_the_real_engine_runs_are_explained(
    real_engine: StartEngine, options: StorageOptions, tmp_path: Path
) -> None:
    run = Run(id="activity", folder=tmp_path)
    calls = tmp_path / "calls"
    with real_engine() as engine:
        host = Host(engine.url, options)
        host.start("event", [["event", "go"]])
        host.start("activity", [run.gated])
        host.start("timer", [["timer", 3600]])
        host.start("child", [["child", [["event", "go"]], "kid"]])
        host.start("retry", [["retried", "flaky", {"calls": str(calls), "failures": 9}]])
        host.start("suspended", [["timer", 3600]])
        host.schedule("scheduled", [["event", "go"]], datetime.now(timezone.utc) + timedelta(hours=1))
        wait_for(options, "event", "external-event", text="Storage does not show the name of the event.")
        wait_for(options, "activity", "activities", "activities", text="was received by a host")
        wait_for(options, "timer", "timer", text="It waits for a timer until ")
        wait_for(options, "child", "sub-orchestrations", text="'script' (id 'kid', Running)")
        wait_for(options, "scheduled", "scheduled-start", text="It is scheduled to start at ")
        host.wait_for_event("suspended", "TimerCreated")
        host.post("suspended", "suspend", reason="lunch")
        wait_for(options, "suspended", "suspended", text=": lunch.")
        host.post("suspended", "terminate", reason="enough")
        wait_for(options, "suspended", "terminated", text=": enough.")
        run.gate.open()
        wait_for(options, "activity", "completed", text="Completed at ")
        wait_for(options, "retry", "failed", text="call 4 fails")
        engine.kill()
    assert attempts_in(with_client(options, lambda client: client.history("retry"))) == [1, 2, 3, 4]
    # The engine is known by its leases alone, which end after a while.
    wait_for(options, "event", "no-host", "external-event", text="No host runs on this task hub")
