"""The calls that are repeated after a crash, how often, and which crashes are counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from durablehost.app.invocation import Invocation, InvocationResult
from durablehost.engine.ports import ReceivedMessage
from durablehost.engine.trials import MAX_CRASHES, Trials
from durablehost.errors import FunctionGivenUp, FunctionTimeout, WorkerCrashed, WorkerUnresponsive
from packages.durablehost.tests.hubs import build

CALL = Invocation(invocation_id="1", function_name="F", inputs={}, work="w")
MESSAGE = ReceivedMessage(message_id="m", message=build.start("w"), dequeue_count=1)
DONE = InvocationResult(return_value="1")


class Scripted:
    """An executor with a result for each call; keeps the calls."""

    def __init__(self, results: Iterable[InvocationResult | Exception]) -> None:
        self._results = iter(results)
        self.calls: list[Invocation] = []

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.calls.append(invocation)
        result = next(self._results)
        if isinstance(result, Exception):
            raise result
        return result


async def test_a_call_beside_a_crash_is_repeated_and_not_counted() -> None:
    executor = Scripted([WorkerCrashed("x", suspects=0), WorkerCrashed("x", suspects=3), DONE])
    trials = Trials(executor)
    assert await trials.invoke(CALL) == DONE
    assert [call.crashes for call in executor.calls] == [0, 0, 1]
    assert not trials.has_crashed("w")


async def test_a_crash_is_raised_until_the_work_is_given_up() -> None:
    executor = Scripted([WorkerCrashed(f"end {number}") for number in range(1, MAX_CRASHES + 2)])
    trials = Trials(executor)
    for number in range(1, MAX_CRASHES):
        with pytest.raises(WorkerCrashed, match=f"end {number}"):
            await trials.invoke(CALL)
    # Further calls for the same work item do not get as many attempts again.
    for number in (MAX_CRASHES, MAX_CRASHES + 1):
        with pytest.raises(FunctionGivenUp, match=f"end {number}"):
            await trials.invoke(CALL)


async def test_crashes_are_forgotten_only_when_the_work_is_stored() -> None:
    executor = Scripted([WorkerCrashed("x"), DONE, DONE, DONE])
    trials = Trials(executor)
    poison, other = (replace(MESSAGE, message_id=name) for name in ("poison", "other"))
    trials.begin("w", [poison])
    with pytest.raises(WorkerCrashed):
        await trials.invoke(CALL)
    # A result for another message does not reset the count of the one that was lost.
    trials.begin("w", [other])
    await trials.invoke(CALL)
    trials.done("w")
    assert trials.has_crashed("w")
    trials.begin("w", [other, poison])
    await trials.invoke(CALL)
    assert trials.has_crashed("w")
    trials.done("w")
    assert not trials.has_crashed("w")
    await trials.invoke(CALL)
    assert [call.crashes for call in executor.calls] == [0, 2, 2, 0]


async def test_a_timeout_is_not_tried_again() -> None:
    with pytest.raises(FunctionGivenUp, match="too long"):
        await Trials(Scripted([FunctionTimeout("too long")])).invoke(CALL)


async def test_a_missing_process_does_not_count_as_a_crash() -> None:
    trials = Trials(Scripted([WorkerUnresponsive("none")]))
    with pytest.raises(WorkerUnresponsive):
        await trials.invoke(CALL)
    assert not trials.has_crashed("w")
