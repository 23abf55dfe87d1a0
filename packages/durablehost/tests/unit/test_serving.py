"""The time between ready and ended: the drain after a signal, the messages, and the death of a task."""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import dataclass, field

import pytest

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.console import Console
from durablehost.errors import WorkerCrashed
from durablehost.host.running import RunningInvocations
from durablehost.host.serving import serve
from durablehost.host.shutdown import ShutdownSignal
from packages.durablehost.tests.eventually import eventually


class Gate:
    """An executor whose calls wait until the test releases them, then end as the test says."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        await self.open.wait()
        if self.error:
            raise self.error
        return InvocationResult(return_value=invocation.function_name)


class TestRunningInvocations:
    async def test_are_named_with_their_number_until_they_end(self) -> None:
        gate = Gate()
        running = RunningInvocations(gate)
        calls = [asyncio.create_task(running.invoke(self.call(name))) for name in ("b", "a", "b")]
        await eventually(lambda: running.describe() == "a (1), b (2)")
        gate.open.set()
        assert [(await call).return_value for call in calls] == ["b", "a", "b"]
        assert running.describe() == ""

    async def test_that_fail_are_not_counted_any_more(self) -> None:
        gate = Gate()
        gate.error = WorkerCrashed("gone")
        gate.open.set()
        running = RunningInvocations(gate)
        with pytest.raises(WorkerCrashed):
            await running.invoke(self.call("a"))
        assert running.describe() == ""

    @staticmethod
    def call(name: str) -> Invocation:
        return Invocation(invocation_id="1", function_name=name, inputs={})


@dataclass
class Dispatchers:
    """Stand-ins for the engine: they end when they are stopped and `finish` is set, or at once with `error`."""

    finish: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    events: list[str] = field(default_factory=list)

    async def run(self, stopping: asyncio.Event) -> None:
        if self.error:
            raise self.error
        try:
            await stopping.wait()
            self.events.append("stopping")
            await self.finish.wait()
            self.events.append("drained")
        except asyncio.CancelledError:
            self.events.append("cut off")
            raise

    async def drain_http(self, seconds: float) -> None:
        self.events.append("no more requests")


class Serving:
    """`serve` on stand-ins."""

    def __init__(self) -> None:
        self.dispatchers = Dispatchers()
        self.gate = Gate()
        self.running = RunningInvocations(self.gate)
        self.shutdown = ShutdownSignal()
        self.shutdown.has_started()
        self.out = io.StringIO()

    async def run(self, drain_seconds: float = 10) -> bool:
        return await serve(
            self.dispatchers.run,
            self.dispatchers.drain_http,
            running=self.running,
            shutdown=self.shutdown,
            console=Console(self.out, self.out),
            drain_seconds=drain_seconds,
        )


@pytest.fixture
async def serving() -> Serving:
    return Serving()


class TestServing:
    async def test_ends_once_the_dispatchers_have_drained(self, serving: Serving) -> None:
        task = asyncio.create_task(serving.run())
        serving.shutdown.request()
        await eventually(lambda: len(serving.dispatchers.events) == 2)
        assert not task.done()
        serving.dispatchers.finish.set()
        assert await task is True
        assert sorted(serving.dispatchers.events[:2]) == ["no more requests", "stopping"]
        assert serving.dispatchers.events[2:] == ["drained"]

    async def test_cuts_off_calls_that_do_not_end_in_time(self, serving: Serving) -> None:
        serving.shutdown.request()
        assert await serving.run(drain_seconds=0.05) is True
        assert serving.dispatchers.events[-1] == "cut off"

    async def test_prints_the_calls_it_waits_for(self, serving: Serving) -> None:
        call = asyncio.create_task(serving.running.invoke(TestRunningInvocations.call("slow")))
        task = asyncio.create_task(serving.run())
        await eventually(lambda: serving.running.describe())
        serving.shutdown.request()
        await eventually(lambda: "Waiting up to 10 s for running functions to end: slow (1)." in serving.out.getvalue())
        serving.gate.open.set()
        serving.dispatchers.finish.set()
        await task
        await call

    @pytest.mark.parametrize("error", [RuntimeError("broken"), ValueError("wrong")])
    async def test_stops_if_a_dispatcher_dies(
        self, serving: Serving, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        serving.dispatchers.error = error
        assert await serving.run() is False
        (record,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
        assert record.getMessage() == f"The host has failed: {type(error).__name__}: {error}"

    async def test_stops_if_the_dispatchers_return_unasked(
        self, serving: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def return_at_once(stopping: asyncio.Event) -> None:
            return None

        serving.dispatchers.run = return_at_once  # type: ignore[method-assign]
        assert await serving.run() is False
        assert "the dispatchers ended before the host was asked to stop" in caplog.text
