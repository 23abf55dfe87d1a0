"""Merging statistics and concluding a run; that N chunks equal one pass is in tests/property/app."""

from __future__ import annotations

import json
import math

import pytest

from shared_code.aggregation import RunFailed, conclude, fold_chunks, fold_groups, merge
from shared_code.contracts import RunRequest
from shared_code.results import ChunkError, ChunkFailure, ChunkResult, FoldedChunks, ReadingsSeen, SeriesStatistics

REQUEST = {"start": "2025-06-17T10:00:00Z", "end": "2025-06-17T11:00:00Z", "time": "2025-06-17T12:00:00Z"}
NOTHING = SeriesStatistics(count=0, nulls=2, non_finite=1)
ONE = SeriesStatistics(count=1, mean=4.0, min=4.0, max=4.0)
THREE = SeriesStatistics(count=3, mean=2.0, std=1.0, min=1.0, max=3.0)


def request(total_chunks: int, **more: object) -> RunRequest:
    return RunRequest.from_json({**REQUEST, "total_chunks": total_chunks, **more})


def success(chunk_id: int) -> ChunkResult:
    where = request(1)
    return ChunkResult(
        chunk_id=chunk_id,
        processing_time=0.5,
        start=where.start,
        end=where.end,
        records=3,
        statistics={"a": THREE},
        readings=ReadingsSeen(location="synthetic", files=0),
        warnings=["x.parquet has no rows"],
    )


def failure(chunk_id: int, message: str = "boom") -> ChunkFailure:
    where = request(1)
    error = ChunkError(type="ValueError", message=message)
    return ChunkFailure(chunk_id=chunk_id, start=where.start, end=where.end, error=error)


def test_merging_gives_the_statistics_of_all_values() -> None:
    merged = merge(THREE, ONE)
    assert (merged.count, merged.mean, merged.min, merged.max) == (4, 2.5, 1.0, 4.0)
    assert merged.std == pytest.approx(math.sqrt(5 / 3), rel=1e-15)


@pytest.mark.parametrize(("a", "b"), [(NOTHING, THREE), (THREE, NOTHING)])
def test_omitted_values_are_counted_and_change_nothing_else(a: SeriesStatistics, b: SeriesStatistics) -> None:
    assert merge(a, b) == THREE.model_copy(update={"nulls": 2, "non_finite": 1})


def test_merging_no_values_with_no_values_gives_no_values() -> None:
    assert merge(NOTHING, NOTHING) == SeriesStatistics(count=0, nulls=4, non_finite=2)


def test_values_too_far_apart_for_double_precision_are_an_error_not_infinity() -> None:
    with pytest.raises(OverflowError, match="double precision"):
        merge(SeriesStatistics(count=1, mean=-1.7e308), SeriesStatistics(count=1, mean=1.7e308))


def test_a_run_whose_values_lie_too_far_apart_names_the_series() -> None:
    chunks = [
        success(number).model_copy(update={"statistics": {"far": SeriesStatistics(count=1, mean=mean)}})
        for number, mean in enumerate((-1.7e308, 1.7e308))
    ]
    with pytest.raises(RunFailed, match="series 'far': the values lie too far apart"):
        fold_chunks(chunks)


def test_the_output_is_as_documented() -> None:
    output = conclude(request(2), fold_chunks([success(0), failure(1)]))

    window = {"start": "2025-06-17T10:00:00Z", "end": "2025-06-17T11:00:00Z"}
    assert output == {
        "status": "partial",
        "total_chunks": 2,
        "succeeded": 1,
        "failed": 1,
        **window,
        "time": "2025-06-17T12:00:00Z",
        "results": [
            {"chunk_id": 0, "status": "success", "processing_time": 0.5, **window, "records": 3},
            {"chunk_id": 1, "status": "failed", **window, "error": {"type": "ValueError", "message": "boom"}},
        ],
        "summary": {"a": {"count": 3, "mean": 2.0, "std": 1.0, "min": 1.0, "max": 3.0}},
        "readings": {"location": "synthetic", "files": 0},
        "warnings": ["x.parquet has no rows"],
    }


def test_a_run_without_failures_is_completed() -> None:
    assert conclude(request(1, max_failed_chunks=0), fold_chunks([success(0)]))["status"] == "completed"


def test_as_many_failures_as_allowed_are_partial_and_one_more_fails_the_run() -> None:
    folded = fold_chunks([success(0), failure(1), failure(2)])

    assert conclude(request(3, max_failed_chunks=2), folded)["status"] == "partial"
    with pytest.raises(
        RunFailed, match=r"2 of 3 chunks failed \(max_failed_chunks is 1\): chunk 1-2: ValueError: boom"
    ):
        conclude(request(3, max_failed_chunks=1), folded)


def test_a_run_that_lost_every_chunk_fails_whatever_is_allowed() -> None:
    with pytest.raises(RunFailed, match="2 of 2 chunks failed"):
        conclude(request(2, max_failed_chunks=5), fold_chunks([failure(0), failure(1)]))


def test_the_failure_message_names_chunks_by_error_and_stays_short() -> None:
    every_other = fold_chunks([failure(number, f"{number % 7}" * 400) for number in range(0, 10_000, 2)])
    all_different = fold_chunks([failure(number, f"no {number}") for number in range(10_000)])

    for folded in (every_other, all_different):
        with pytest.raises(RunFailed) as caught:
            conclude(request(10_000), folded)
        assert len(str(caught.value)) < 8_000
    assert "chunk 10-9999: 9990 other errors" in str(caught.value)


def test_folding_groups_equals_folding_their_chunks() -> None:
    outcomes: list[ChunkResult | ChunkFailure] = [success(0), failure(1), success(2), success(3)]
    groups = [fold_chunks(outcomes[:2]), fold_chunks(outcomes[2:])]

    assert fold_groups(groups) == fold_chunks(outcomes)


def test_a_folded_group_survives_json() -> None:
    folded = fold_chunks([success(0), failure(1)])

    assert FoldedChunks.from_json(json.loads(json.dumps(folded.to_json()))) == folded


def seen(version: str | None, files: int = 3) -> ReadingsSeen:
    return ReadingsSeen(location="az://c/*.parquet", files=files, version=version)


def of_versions(*versions: str | None, records: int = 3) -> list[ChunkResult]:
    return [
        success(number).model_copy(update={"readings": seen(version), "records": records})
        for number, version in enumerate(versions)
    ]


@pytest.mark.parametrize("by_groups", [False, True])
def test_chunks_of_different_versions_of_the_files_fail_the_run_unless_it_allows_them(by_groups: bool) -> None:
    chunks = of_versions("x", "x", "y")
    folded = fold_groups(fold_chunks([chunk]) for chunk in chunks) if by_groups else fold_chunks(chunks)
    folded = FoldedChunks.from_json(json.loads(json.dumps(folded.to_json())))

    with pytest.raises(RunFailed, match=r"ReadingsChanged: the files of az://c/\*\.parquet changed during the run"):
        conclude(request(3), folded)
    output = conclude(request(3, allow_changed_readings=True), folded)
    assert str(output["warnings"]).count("changed during the run") == 1


def test_one_version_and_unknown_ones_belong_together() -> None:
    assert not fold_chunks(of_versions("x", None, "x")).is_mixed
    assert not fold_chunks(of_versions(None, None)).is_mixed


def test_a_chunk_without_readings_is_of_any_version() -> None:
    assert not fold_chunks([*of_versions("x"), *of_versions("y", records=0)]).is_mixed


@pytest.mark.parametrize(("percent", "total", "failed"), [(0.57, 10_000, 57), (1.1, 1_000, 11), (28.7, 1_000, 287)])
def test_a_share_of_failures_is_meant_as_it_is_written(percent: float, total: int, failed: int) -> None:
    def folded(failed: int) -> FoldedChunks:
        return fold_chunks(failure(number) if number < failed else success(number) for number in range(total))

    assert conclude(request(total, max_failed_percent=percent), folded(failed))["failed"] == failed
    with pytest.raises(RunFailed):
        conclude(request(total, max_failed_percent=percent), folded(failed + 1))


@pytest.mark.parametrize(("percent", "chunks", "fails"), [(25, None, False), (24.9, None, True), (100, 0, True)])
def test_the_smaller_of_the_limits_of_failures_counts(percent: float, chunks: int | None, fails: bool) -> None:
    limits = {"max_failed_percent": percent, **({} if chunks is None else {"max_failed_chunks": chunks})}
    folded = fold_chunks([success(0), failure(1), success(2), success(3)])
    if fails:
        with pytest.raises(RunFailed, match=rf"1 of 4 chunks failed \(.*max_failed_percent is {percent:g}"):
            conclude(request(4, **limits), folded)
    else:
        assert conclude(request(4, **limits), folded)["failed"] == 1
