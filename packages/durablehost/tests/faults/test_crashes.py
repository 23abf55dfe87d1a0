"""A host dies at every step of a checkpoint and at every storage call, and a second one finishes exactly.

`pytest packages/durablehost/tests/faults/test_crashes.py -m soak --write-crash-table` writes the figures of
docs/durability.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import pytest

pytest.importorskip("anyio")

from durablehost.emulator.azurite import Azurite
from packages.durablehost.tests.faults.crash import AtCall, Outcome, crash_and_finish
from packages.durablehost.tests.faults.crash_cases import CASES, CHUNKS, CrashCase
from packages.durablehost.tests.faults.crash_report import CrashReport, documented_rows
from packages.durablehost.tests.faults.in_process import LARGE_LETTERS

AT_ONCE = 6
SAMPLE = 6
REPETITIONS = 5
LARGE_CHUNKS = 4

Run = Callable[[str], Awaitable[Outcome]]


async def test_a_second_host_finishes_exactly_after_every_crash_of_the_table(azurite: Azurite, hub_name: str) -> None:
    runs = {case.crash: partial(case.run, azurite) for case in CASES}
    outcomes = await survive_each(runs, hub_name)
    assert all(outcome.has_crashed for outcome in outcomes)


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.crash)
async def test_a_crash_of_the_table_is_survived_again_and_again(
    azurite: Azurite, hub_name: str, case: CrashCase, crash_report: CrashReport
) -> None:
    runs = {f"{case.crash}, {number}": partial(case.run, azurite) for number in range(REPETITIONS)}
    with crash_report.of_case(case.crash, REPETITIONS) as outcomes:
        outcomes += await survive_each(runs, hub_name)
    assert all(outcome.has_crashed for outcome in outcomes)


async def test_crashes_all_over_a_run_are_survived(azurite: Azurite, hub_name: str) -> None:
    undisturbed = await crash_and_finish(azurite, hub_name, chunks=CHUNKS)
    assert (undisturbed.has_crashed, undisturbed.repeated) == (False, 0)
    spread = [1 + position * undisturbed.calls // SAMPLE for position in range(SAMPLE)]
    outcomes = await crash_at_each(azurite, hub_name, spread, CrashReport())
    assert sum(outcome.has_crashed for outcome in outcomes) >= len(outcomes) - 2


@pytest.mark.soak
@pytest.mark.parametrize("stores_results", [False, True])
async def test_a_crash_at_every_call_of_a_run_is_survived(
    azurite: Azurite, hub_name: str, crash_report: CrashReport, stores_results: bool
) -> None:
    """Crashes at call 1, 2, ... until a run ends before its crash, because the number of calls varies between runs."""
    first, has_crashed = 1, True
    while has_crashed:
        numbers = range(first, first + 2 * AT_ONCE)
        outcomes = await crash_at_each(azurite, hub_name, numbers, crash_report, stores_results=stores_results)
        has_crashed = any(outcome.has_crashed for outcome in outcomes)
        first = numbers.stop
    assert first > (4 if stores_results else 2) * CHUNKS


async def test_large_chunks_survive_crashes(azurite: Azurite, hub_name: str) -> None:
    """Inputs and results in blobs: the requests, the results, the history and the output of the instance."""
    runs: dict[str, Run] = {
        f"call {number}": partial(
            crash_and_finish,
            azurite,
            rule=AtCall(number=number, is_served=True),
            chunks=LARGE_CHUNKS,
            letters=LARGE_LETTERS,
        )
        for number in (10, 20)
    }
    outcomes = await survive_each(runs, hub_name)
    assert all(outcome.has_crashed for outcome in outcomes)


@pytest.mark.soak
async def test_large_chunks_survive_a_crash_at_every_call(azurite: Azurite, hub_name: str) -> None:
    undisturbed = await crash_and_finish(azurite, hub_name, chunks=LARGE_CHUNKS, letters=LARGE_LETTERS)
    numbers = range(1, undisturbed.calls + 1)
    outcomes = await crash_at_each(
        azurite, hub_name, numbers, CrashReport(), chunks=LARGE_CHUNKS, letters=LARGE_LETTERS
    )
    assert sum(outcome.has_crashed for outcome in outcomes) >= len(numbers)


async def crash_at_each(
    azurite: Azurite,
    hub_name: str,
    numbers: Sequence[int],
    report: CrashReport,
    *,
    chunks: int = CHUNKS,
    letters: int = 0,
    stores_results: bool = False,
) -> list[Outcome]:
    """Runs two crashes for each of these calls: before and after storage served it."""
    rules = [AtCall(number=number, is_served=is_served) for number in numbers for is_served in (False, True)]

    async def crash(hub_name: str, rule: AtCall) -> Outcome:
        outcome = None
        try:
            outcome = await crash_and_finish(
                azurite, hub_name, rule, chunks=chunks, letters=letters, stores_results=stores_results
            )
        finally:
            if rule.hit is not None:
                report.add_call(rule.hit.value, outcome)
        return outcome

    runs: dict[str, Run] = {str(rule): partial(crash, rule=rule) for rule in rules}
    return await survive_each(runs, f"{hub_name}at{numbers[0]}")


async def survive_each(runs: Mapping[str, Run], hub_name: str) -> list[Outcome]:
    """Runs all cases, some at a time, each in a hub of its own that an error names."""
    episodes = asyncio.Semaphore(AT_ONCE)

    async def survive(number: int, name: str, run: Run) -> Outcome:
        async with episodes:
            try:
                return await run(f"{hub_name}n{number}")
            except Exception as error:
                raise AssertionError(f"{name}: {error}") from error

    return await asyncio.gather(*(survive(number, *named) for number, named in enumerate(runs.items())))


def test_the_documentation_lists_exactly_the_tested_crashes_and_no_run_was_lost() -> None:
    rows = documented_rows()
    assert [row[:4] for row in rows] == [(case.crash, case.stored, case.next, case.repeats) for case in CASES]
    for *_, crashes, repeated, lost in rows:
        assert int(crashes) >= 1
        assert int(repeated) >= 0
        assert int(lost) == 0
