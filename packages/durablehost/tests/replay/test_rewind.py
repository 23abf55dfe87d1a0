"""Rewound histories against the real SDK: failed work is repeated, and every result reaches its task."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("hypothesis", reason="hypothesis generates the programs")

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from durablehost.core.history import EventRaised, ExecutionTerminated
from durablehost.core.status import RuntimeStatus
from packages.durablehost.tests.replay.simulation import Simulation

Context = Any  # a df.DurableOrchestrationContext; the SDK has no types
Code = Generator[Any, Any, Any]
RETRY = df.RetryOptions(1000, 3)


class Plant:
    """Activities that fail while they are broken; every call is counted by its input."""

    def __init__(self, *broken: str, failures: dict[str, int] | None = None) -> None:
        self.broken = set(broken)
        self.failures = dict(failures or {})
        self.calls: Counter[str] = Counter()

    def __call__(self, value: str) -> str:
        self.calls[value] += 1
        if value in self.broken or self.calls[value] <= self.failures.get(value, 0):
            raise ValueError(f"{value} is broken")
        return f"{value}!"

    def mend(self) -> None:
        self.broken.clear()


def rewound(
    orchestrators: dict[str, Any], plant: Plant, *, seed: int = 0, times: int = 1, losses: float = 0.0
) -> Simulation:
    """Runs `run` until it fails, rewinds it without a fix as often as requested, then with the fix to its end."""

    async def run() -> Simulation:
        simulation = Simulation(orchestrators, {"make": plant}, seed=seed, losses=losses, duplicates=losses)
        status, output = await simulation.run("run")
        for _ in range(times - 1):
            assert status is RuntimeStatus.FAILED, output
            status, output = await simulation.rewind()
        assert status is RuntimeStatus.FAILED, output
        plant.mend()
        await simulation.rewind()
        return simulation

    return asyncio.run(run())


def output_of(simulation: Simulation) -> Any:
    status, output = simulation.end_of("root")
    assert status is RuntimeStatus.COMPLETED, output
    return output


@pytest.mark.parametrize("times", [1, 3])
def test_a_failed_activity_runs_again_and_completed_ones_do_not(times: int) -> None:
    def run(context: Context) -> Code:
        first = yield context.call_activity("make", "a")
        second = yield context.call_activity("make", "b")
        third = yield context.call_activity("make", "c")
        return [first, second, third]

    plant = Plant("b")
    assert output_of(rewound({"run": run}, plant, times=times)) == ["a!", "b!", "c!"]
    assert plant.calls == {"a": 1, "b": 1 + times, "c": 1}


@pytest.mark.parametrize("seed", range(20))
def test_only_the_failed_parts_of_a_fan_out_run_again(seed: int) -> None:
    def run(context: Context) -> Code:
        return (yield context.task_all([context.call_activity("make", name) for name in "abcdef"]))

    plant = Plant("b", "d", "f")
    assert output_of(rewound({"run": run}, plant, seed=seed)) == [f"{name}!" for name in "abcdef"]
    assert plant.calls == {"a": 1, "b": 2, "c": 1, "d": 2, "e": 1, "f": 2}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_work_with_retries_gets_all_its_attempts_again(seed: int, times: int) -> None:
    def run(context: Context) -> Code:
        tasks = [context.call_activity_with_retry("make", RETRY, name) for name in "abcd"]
        made = yield context.task_all(tasks)
        last = yield context.call_activity("make", "e")
        return [*made, last]

    plant = Plant("b", "d")
    assert output_of(rewound({"run": run}, plant, seed=seed, times=times)) == ["a!", "b!", "c!", "d!", "e!"]
    assert plant.calls == {"a": 1, "b": 3 * times + 1, "c": 1, "d": 3 * times + 1, "e": 1}


@pytest.mark.parametrize("seed", range(20))
def test_a_retry_that_succeeded_before_the_failure_keeps_its_result(seed: int) -> None:
    def run(context: Context) -> Code:
        first = yield context.call_activity_with_retry("make", RETRY, "a")
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
        second = yield context.call_activity_with_retry("make", RETRY, "b")
        return [first, second]

    plant = Plant("b", failures={"a": 2})
    assert output_of(rewound({"run": run}, plant, seed=seed)) == ["a!", "b!"]
    assert plant.calls == {"a": 3, "b": 4}


@pytest.mark.parametrize("seed", range(40))
def test_overlapping_retries_get_correct_task_ids_again(seed: int) -> None:
    def run(context: Context) -> Code:
        tasks = [context.call_activity_with_retry("make", RETRY, name) for name in "abcd"]
        try:
            yield context.task_all(tasks)
        except Exception:
            yield from tasks
        return [task.result for task in tasks]

    plant = Plant("c", failures={"a": 1, "b": 2, "d": 1})
    assert output_of(rewound({"run": run}, plant, seed=seed)) == ["a!", "b!", "c!", "d!"]


@pytest.mark.parametrize("seed", range(10))
def test_decisions_that_followed_from_a_failure_are_made_again(seed: int) -> None:
    def run(context: Context) -> Code:
        try:
            first = yield context.call_activity("make", "a")
        except Exception:
            first = yield context.call_activity("make", "instead of a")
        second = yield context.call_activity("make", f"b after {first}")
        third = yield context.call_activity("make", "c")
        return [second, third]

    plant = Plant("a", "c")
    assert output_of(rewound({"run": run}, plant, seed=seed)) == ["b after a!!", "c!"]


@pytest.mark.parametrize("given_id", [None, "the-child"])
@pytest.mark.parametrize("with_retry", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_failed_child_is_rewound_or_started_again(given_id: str | None, with_retry: bool, seed: int) -> None:
    def run(context: Context) -> Code:
        if with_retry:
            return (yield context.call_sub_orchestrator_with_retry("child", RETRY, "x", given_id))
        return (yield context.call_sub_orchestrator("child", "x", given_id))

    def child(context: Context) -> Code:
        first = yield context.call_activity("make", "a")
        second = yield context.call_activity("make", "b")
        return [first, second, context.get_input()]

    plant = Plant("b")
    assert output_of(rewound({"run": run, "child": child}, plant, seed=seed)) == ["a!", "b!", "x"]
    if not with_retry:
        assert plant.calls == {"a": 1, "b": 2}


@pytest.mark.parametrize("seed", range(10))
def test_children_are_rewound_however_deep_beside_work_of_their_parent(seed: int) -> None:
    def run(context: Context) -> Code:
        return (yield context.task_all([context.call_sub_orchestrator("child"), context.call_activity("make", "a")]))

    def child(context: Context) -> Code:
        return (yield context.call_sub_orchestrator("grandchild"))

    def grandchild(context: Context) -> Code:
        yield context.call_activity("make", "b")
        return (yield context.call_activity("make", "c"))

    plant = Plant("a", "c")
    simulation = rewound({"run": run, "child": child, "grandchild": grandchild}, plant, seed=seed)
    assert output_of(simulation) == ["c!", "a!"]
    assert plant.calls == {"a": 2, "b": 1, "c": 2}


@pytest.mark.parametrize("seed", range(30))
def test_lost_checkpoints_and_messages_that_come_twice_are_survived_before_and_after(seed: int) -> None:
    def run(context: Context) -> Code:
        tasks = [context.call_activity("make", name) for name in "abc"]
        tasks += [context.call_sub_orchestrator("child", name) for name in "de"]
        first = yield context.task_all(tasks)
        return [*first, (yield context.call_activity("make", "f"))]

    def child(context: Context) -> Code:
        name = context.get_input()
        yield context.call_activity("make", f"{name} before")
        return (yield context.call_activity("make", name))

    plant = Plant("b", "d")
    simulation = rewound({"run": run, "child": child}, plant, seed=seed, times=2, losses=0.2)
    assert output_of(simulation) == [f"{name}!" for name in "abcdef"]


def test_a_child_that_followed_from_a_failure_is_a_new_execution() -> None:
    def run(context: Context) -> Code:
        for name in ("a", "b"):
            try:
                yield context.call_activity("make", name)
            except Exception:
                failure = name
        yield context.call_sub_orchestrator("child")
        if failure:
            yield context.call_activity("make", "c")
        return "done"

    def child(context: Context) -> Code:
        return (yield context.call_activity("make", "d"))

    plant = Plant("b", "c")
    simulation = rewound({"run": run, "child": child}, plant, times=2)
    status, output = simulation.end_of("root")
    # After the fix nothing sets `failure`: the program takes another path and fails by its own defect.
    assert (status, "failure" in output) == (RuntimeStatus.FAILED, True)
    assert plant.calls["d"] == 3


def test_a_terminated_child_is_started_again() -> None:
    def run(context: Context) -> Code:
        return (yield context.call_sub_orchestrator("child", None, "the-child"))

    def child(context: Context) -> Code:
        yield context.wait_for_external_event("go")
        return "went"

    async def scenario() -> None:
        simulation = Simulation({"run": run, "child": child})
        await simulation.run("run")
        status, _ = await simulation.send_to("the-child", ExecutionTerminated(timestamp=simulation.now(), input="no"))
        assert status is RuntimeStatus.FAILED
        status, _ = await simulation.rewind()
        assert status is RuntimeStatus.RUNNING
        go = EventRaised(timestamp=simulation.now(), name="go", input="null")
        assert await simulation.send_to("the-child", go) == (RuntimeStatus.COMPLETED, "went")

    asyncio.run(scenario())


def test_an_orchestrator_that_failed_by_its_own_defect_goes_on_with_fixed_code() -> None:
    is_mended = False

    def run(context: Context) -> Code:
        made = yield context.call_activity("make", "a")
        if not is_mended:
            raise RuntimeError("a mistake")
        return [made, (yield context.call_activity("make", "b"))]

    async def scenario() -> None:
        nonlocal is_mended
        plant = Plant()
        simulation = Simulation({"run": run}, {"make": plant})
        assert (await simulation.run("run"))[0] is RuntimeStatus.FAILED
        is_mended = True
        assert await simulation.rewind() == (RuntimeStatus.COMPLETED, ["a!", "b!"])
        assert plant.calls == {"a": 1, "b": 1}

    asyncio.run(scenario())


def test_an_event_that_came_between_attempts_is_not_lost() -> None:
    def run(context: Context) -> Code:
        made = context.call_activity_with_retry("make", RETRY, "a")
        return (yield context.task_all([made, context.wait_for_external_event("go")]))

    async def scenario(seed: int) -> None:
        plant = Plant("a")
        simulation = Simulation({"run": run}, {"make": plant}, seed=seed)
        go = EventRaised(timestamp=simulation.now(), name="go", input=json.dumps("now"))
        assert (await simulation.run("run", events=[go]))[0] is RuntimeStatus.FAILED
        plant.mend()
        assert await simulation.rewind() == (RuntimeStatus.COMPLETED, ["a!", "now"])

    for seed in range(10):
        asyncio.run(scenario(seed))


Leaf = dict[str, Any]
LEAVES = st.one_of(
    st.just({"kind": "plain"}),
    st.just({"kind": "timer"}),
    st.fixed_dictionaries({"kind": st.just("retry"), "failures": st.integers(0, 2)}),
    st.fixed_dictionaries({"kind": st.sampled_from(["broken", "broken retry", "broken child", "child"])}),
)


def leaf_task(context: Context, leaf: Leaf, name: str) -> Any:
    kind = leaf["kind"]
    if kind == "timer":
        return context.create_timer(context.current_utc_datetime + timedelta(seconds=1.5))
    if kind in ("retry", "broken retry"):
        return context.call_activity_with_retry("make", RETRY, name)
    if kind in ("child", "broken child"):
        return context.call_sub_orchestrator("child", name)
    return context.call_activity("make", name)


def waits_as_if_to_retry(stages: list[list[Leaf]]) -> bool:
    """True if a history does not show that a failure was caught: a timer and the same activity follow, as in a retry.

    Such an instance needs one more rewind.
    """
    return any(
        any(leaf["kind"].startswith("broken") for leaf in failing) and any(leaf["kind"] == "timer" for leaf in waiting)
        for failing, waiting in itertools.pairwise(stages[:-1])
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(LEAVES, min_size=1, max_size=4), min_size=1, max_size=4), st.integers(0, 2**32), st.booleans())
def test_any_program_ends_as_if_nothing_had_failed(stages: list[list[Leaf]], seed: int, collects: bool) -> None:
    """Generates sequences of fan-outs; a program that collects its failures raises them only at its end."""
    assume(not (collects and waits_as_if_to_retry(stages)))

    def run(context: Context) -> Code:
        outcomes, failures = [], 0
        for number, stage in enumerate(stages):
            tasks = [leaf_task(context, leaf, f"{number}.{i}") for i, leaf in enumerate(stage)]
            try:
                outcomes.append((yield context.task_all(tasks)))
            except Exception:
                if not collects:
                    raise
                failures += 1
        if failures:
            raise RuntimeError(f"{failures} stages failed")
        return outcomes

    def child(context: Context) -> Code:
        name = context.get_input()
        yield context.call_activity("make", f"{name} before")
        return (yield context.call_activity("make", name))

    named = {f"{number}.{i}": leaf for number, stage in enumerate(stages) for i, leaf in enumerate(stage)}
    broken = {name for name, leaf in named.items() if leaf["kind"].startswith("broken")}
    plant = Plant(*broken, failures={name: leaf.get("failures", 0) for name, leaf in named.items()})

    async def scenario() -> Any:
        simulation = Simulation({"run": run, "child": child}, {"make": plant}, seed=seed)
        status, output = await simulation.run("run")
        if broken:
            assert status is RuntimeStatus.FAILED
            assert (await simulation.rewind())[0] is RuntimeStatus.FAILED
            plant.mend()
            status, output = await simulation.rewind()
        assert status is RuntimeStatus.COMPLETED, output
        return output

    expected = [
        [None if leaf["kind"] == "timer" else f"{number}.{i}!" for i, leaf in enumerate(stage)]
        for number, stage in enumerate(stages)
    ]
    assert asyncio.run(scenario()) == expected
