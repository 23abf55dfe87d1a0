"""What is called again after a crash, how often, and what is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from devhost.app.invocation import Invocation, InvocationResult
from devhost.engine.ports import ReceivedMessage
from devhost.engine.trials import MAX_CRASHES, Trials
from devhost.errors import FunctionGivenUp, FunctionTimeout, WorkerCrashed, WorkerUnresponsive
from tests.hubs import build

CALL = Invocation(invocation_id="1", function_name="F", inputs={}, work="w")
MESSAGE = ReceivedMessage(message_id="m", message=build.start("w"), dequeue_count=1)
DONE = InvocationResult(return_value="1")


class Answering:
    """An executor with an answer for each call; keeps the calls."""

    def __init__(self, answers: Iterable[InvocationResult | Exception]) -> None:
        self._answers = iter(answers)
        self.calls: list[Invocation] = []

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.calls.append(invocation)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_call_beside_a_crash_is_repeated_and_not_counted() -> None:
    executor = Answering([WorkerCrashed("x", suspects=0), WorkerCrashed("x", suspects=3), DONE])
    trials = Trials(executor)
    assert await trials.invoke(CALL) == DONE
    assert [call.crashes for call in executor.calls] == [0, 0, 1]
    assert not trials.has_crashed("w")


async def test_a_crash_is_raised_until_the_work_is_given_up() -> None:
    executor = Answering([WorkerCrashed(f"end {number}") for number in range(1, MAX_CRASHES + 2)])
    trials = Trials(executor)
    for number in range(1, MAX_CRASHES):
        with pytest.raises(WorkerCrashed, match=f"end {number}"):
            await trials.invoke(CALL)
    # Further calls for the same work item are not tried as often again.
    for number in (MAX_CRASHES, MAX_CRASHES + 1):
        with pytest.raises(FunctionGivenUp, match=f"end {number}"):
            await trials.invoke(CALL)


async def test_only_stored_work_is_forgiven_its_crashes() -> None:
    executor = Answering([WorkerCrashed("x"), DONE, DONE, DONE])
    trials = Trials(executor)
    poison, other = (replace(MESSAGE, message_id=name) for name in ("poison", "other"))
    trials.begin("w", [poison])
    with pytest.raises(WorkerCrashed):
        await trials.invoke(CALL)
    # A result for another message says nothing about the one that was lost.
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
        await Trials(Answering([FunctionTimeout("too long")])).invoke(CALL)


async def test_a_pool_without_a_process_is_no_fault_of_the_work() -> None:
    trials = Trials(Answering([WorkerUnresponsive("none")]))
    with pytest.raises(WorkerUnresponsive):
        await trials.invoke(CALL)
    assert not trials.has_crashed("w")
