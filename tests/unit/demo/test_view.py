"""The progress and the tables, as text."""

from __future__ import annotations

import io
from typing import Any

from demo.view import MOST_ROWS, chunk_table, open_progress, progress_line, result_tables, shorten, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def running(done: int, phase: str = "processing") -> dict[str, Any]:
    return {"runtimeStatus": "Running", "customStatus": {"phase": phase, "chunks_done": done}}


def succeeded(chunk_id: int) -> dict[str, Any]:
    return {
        "chunk_id": chunk_id,
        "status": "success",
        "processing_time": 0.25,
        "start": "2013-01-01T00:00:00Z",
        "end": "2013-01-02T00:00:00Z",
        "records": 1234,
    }


def failed(chunk_id: int) -> dict[str, Any]:
    error = {"type": "ReadingsError", "message": "corrupt file"}
    return {"chunk_id": chunk_id, "status": "failed", "start": "a", "end": "b", "error": error}


def test_the_bar_is_as_full_as_chunks_are_done() -> None:
    line = progress_line(running(4), 12)

    assert line == "[##########--------------------]  4/12 chunks  processing"


def test_readings_and_the_estimate_are_shown_while_it_runs() -> None:
    status = running(4)
    status["customStatus"] |= {"chunks_failed": 1, "records": 17_000, "estimated_end": "2026-03-01T10:01:05Z"}
    status["lastUpdatedTime"] = "2026-03-01T10:00:03Z"

    assert progress_line(status, 12).endswith("  4/12 chunks  processing, 1 failed, 17,000 readings, about 62 s left")


def test_an_estimate_that_has_passed_is_no_negative_time() -> None:
    status = running(4)
    status["customStatus"]["estimated_end"] = "2026-03-01T10:00:02Z"
    status["lastUpdatedTime"] = "2026-03-01T10:00:03Z"

    assert progress_line(status, 12).endswith("processing, about 0 s left")


def test_before_any_custom_status_the_bar_is_empty() -> None:
    line = progress_line({"runtimeStatus": "Pending", "customStatus": None}, 12)

    assert line == f"[{'-' * 30}]  0/12 chunks  Pending"


def test_a_completed_orchestration_fills_the_bar() -> None:
    assert progress_line({"runtimeStatus": "Completed"}, 3) == f"[{'#' * 30}] 3/3 chunks  Completed"


def test_a_log_file_gets_one_line_per_change() -> None:
    stream = io.StringIO()
    with open_progress(stream, 2) as progress:
        for status in (running(0), running(0), running(1)):
            progress.show(status)

    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0].split("]")[1] for line in lines] == [" 0/2 chunks", " 1/2 chunks"]
    assert "\r" not in stream.getvalue()


def test_a_terminal_shows_the_table_of_durable_watch_with_the_progress_in_words() -> None:
    stream = Terminal()
    status = {
        **running(4),
        "instanceId": "abc",
        "name": "orchestrator_function",
        "createdTime": "2026-03-01T10:00:00Z",
        "lastUpdatedTime": "2026-03-01T10:00:03Z",
    }
    status["customStatus"] |= {"chunks_total": 12, "records": 17_000}
    with open_progress(stream, 12) as progress:
        progress.show(status)
        progress.show({**status, "runtimeStatus": "Completed"})

    shown = stream.getvalue()
    assert "4 of 12" in shown
    assert "processing," in shown
    assert "17,000" in shown
    assert shown.rindex("Completed") > shown.index("Running")


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    text = table(["name", "count"], [["a", "1,000,000"], ["longer", "2"]], left=(0,))

    assert text.splitlines() == [
        "name        count",
        "------  ---------",
        "a       1,000,000",
        "longer          2",
    ]


def test_a_failed_chunk_shows_its_error_in_place_of_numbers() -> None:
    lines = chunk_table([succeeded(0), failed(1)]).splitlines()

    assert lines[2].split() == ["0", "2013-01-01T00:00:00Z", "2013-01-02T00:00:00Z", "1,234", "0.250"]
    assert lines[3].split() == ["1", "a", "b", "failed", "ReadingsError:", "corrupt", "file"]


def test_a_few_chunks_are_all_shown() -> None:
    results = [succeeded(chunk_id) for chunk_id in range(MOST_ROWS)]

    assert shorten(results) == results


def test_the_first_the_last_and_the_failed_of_many_chunks_are_shown() -> None:
    results = [failed(i) if i in (500, 501) else succeeded(i) for i in range(1000)]

    shown = [each["chunk_id"] if each else None for each in shorten(results)]

    assert shown == [*range(20), None, 500, 501, None, *range(980, 1000)]


def test_the_result_ends_with_one_line_about_the_whole() -> None:
    statistics = {"count": 2468, "mean": 1.5, "std": None, "min": -1234.5, "max": float("nan")}
    output = {
        "status": "partial",
        "total_chunks": 3,
        "succeeded": 2,
        "failed": 1,
        "start": "2013-01-01T00:00:00Z",
        "end": "2013-04-01T00:00:00Z",
        "results": [succeeded(0), failed(1), succeeded(2)],
        "summary": {"JFK.temp": statistics, "EWR.temp": statistics},
    }

    chunks, summary, whole = result_tables(output).split("\n\n")

    assert len(chunks.splitlines()) == 5
    assert [line.split()[0] for line in summary.splitlines()[2:]] == ["EWR.temp", "JFK.temp"]
    assert summary.splitlines()[2].split()[1:] == ["2,468", "1.500", "-", "-1,234.500", "-"]
    assert whole == (
        "partial: 2 of 3 chunks succeeded, 2,468 records from 2013-01-01T00:00:00Z to 2013-04-01T00:00:00Z"
    )


def test_stored_results_are_one_more_line_and_their_records_count() -> None:
    stored = {"location": "results/x", "manifest": "results/x/manifest.json", "files": 200, "records": 1_000_000}
    output = {
        "status": "completed",
        "total_chunks": 200,
        "succeeded": 200,
        "failed": 0,
        "start": "a",
        "end": "b",
        "results": [],
        "summary": {},
        "stored": stored,
    }

    _, closing = result_tables(output).split("\n\n")

    assert closing.splitlines() == [
        "completed: 200 of 200 chunks succeeded, 1,000,000 records from a to b",
        "stored: results/x (200 files)",
    ]
