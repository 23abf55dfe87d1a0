"""The arithmetic of the figures."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.compute import READINGS, Times, compute_figures
from bench.fan_out import limit_figures
from bench.figures import in_milliseconds, percentile
from bench.pair import Pair, pair_figures
from bench.proxy import Counts
from bench.usage import Usage

NOTHING_COUNTED = Counts(requests=Counter(), most_messages=0)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (20, 19), (50, 48), (100, 95)])
def test_the_95th_percentile_is_the_value_that_95_of_100_do_not_exceed(count: int, expected: int) -> None:
    assert percentile([*range(count, 0, -1)], 0.95) == expected


def test_seconds_become_median_and_percentile_in_milliseconds() -> None:
    assert in_milliseconds("completed", [0.25, 0.5, 1.0]) == {"completed_p50_ms": 500, "completed_p95_ms": 1000}


def test_the_limit_is_that_of_the_median_run() -> None:
    assert limit_figures(10, [1.0, 9.0, 2.0]) == {"seconds": 2.0, "chunks_per_second": 5.0, "runs": 3}


def pair(limit_seconds: float, seconds: float, cpu_seconds: float = 1, peak_rss_mb: float = 1) -> Pair:
    usage = {"host": Usage(cpu_seconds=cpu_seconds, peak_rss_mb=peak_rss_mb)}
    return Pair(limit_seconds=limit_seconds, seconds=seconds, settled_seconds=2 * seconds, usage=usage)


def test_the_ratio_is_the_median_of_the_ratios_of_the_pairs() -> None:
    # Of the medians it would be 2 / 8.
    figures = pair_figures(8, [pair(1, 4), pair(2, 2), pair(9, 36)], NOTHING_COUNTED)

    assert figures["ratio_to_limit"] == 0.125
    assert (figures["seconds"], figures["settled_seconds"]) == (4, 8)
    assert figures["chunks_per_second"] == 2
    assert figures["milliseconds_per_chunk"] == 500


def test_cpu_is_the_median_and_memory_the_peak_of_all_runs() -> None:
    figures = pair_figures(1, [pair(1, 1, 3, 70), pair(1, 1, 5, 90), pair(1, 1, 4, 80)], NOTHING_COUNTED)

    assert figures["cpu_seconds"] == {"host": 4}
    assert figures["peak_rss_mb"] == {"host": 90}


def test_requests_are_counted_per_chunk_and_by_operation() -> None:
    requests = Counter({"queue POST messages": 8, "table POST $batch": 2})

    figures = pair_figures(4, [pair(1, 1)], Counts(requests=requests, most_messages=3))

    assert figures["storage_requests_per_chunk"] == 2.5
    assert figures["storage_requests"] == {"queue POST messages": 8, "table POST $batch": 2}
    assert figures["most_messages_stored"] == 3


def test_the_app_is_compared_with_its_activity_and_with_a_single_pass_run_by_run() -> None:
    figures = compute_figures(
        [
            Times(orchestration=4, activity=2, single_pass=2),
            Times(orchestration=8, activity=16, single_pass=1),
            Times(orchestration=10, activity=10, single_pass=10),
        ]
    )

    assert figures["seconds"] == 8
    assert figures["readings_per_second"] == READINGS / 8
    # Of the medians they would be 10 / 8 and 2 / 8.
    assert figures["ratio_to_activity_alone"] == 1
    assert figures["ratio_to_single_pass"] == 0.5
