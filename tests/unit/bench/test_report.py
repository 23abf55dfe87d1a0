"""How figures are shown: Markdown tables, and the lines of the plot."""

from __future__ import annotations

from bench.report import Document, markdown, seconds_by_chunks, table

LIMIT = {"seconds": 2.0, "chunks_per_second": 500.0, "runs": 1}
FAN_OUT = {
    "seconds": 4.0,
    "chunks_per_second": 250.0,
    "settled_seconds": 5.0,
    "ratio_to_limit": 0.5,
    "milliseconds_per_chunk": 4.0,
    "cpu_seconds": {"host": 1.5, "workers": 0.25, "azurite": 2.5},
    "peak_rss_mb": {"host": 70.4, "workers": 44.0, "azurite": 130.0},
    "storage_requests_per_chunk": 4.25,
    "storage_requests": {"queue POST messages": 4250},
    "most_messages_stored": 1200,
    "runs": 1,
}
PEERS = {
    "durablehost": {"seconds": 1.0, "chunks_per_second": 100.0, "times_durablehost": 1.0, "runs": 1},
    "Prefect": {"seconds": 2.0, "settled_seconds": 9.0, "chunks_per_second": 50.0, "times_durablehost": 2.0, "runs": 1},
    "DBOS": {"missing": "there is no PostgreSQL"},
}


def test_a_table_is_markdown_that_is_aligned() -> None:
    assert table(["chunks", "s"], [["1", "0.5"], ["1000", "12.25"]]).splitlines() == [
        "| chunks |     s |",
        "| ------ | ----: |",
        "| 1      |   0.5 |",
        "| 1000   | 12.25 |",
    ]


def test_only_measured_sections_are_shown_in_their_order() -> None:
    shown = markdown({"fanout": {"1000": FAN_OUT}, "limit": {"1000": LIMIT}})

    limit, fan_out = ([cells_of(line) for line in part.splitlines()] for part in shown.split("\n\n"))
    assert limit[0][0] == "limit: chunks"
    assert fan_out[0][:5] == ["fan-out: chunks", "seconds", "chunks/s", "settled, s", "ratio to the limit"]
    assert fan_out[2][:5] == ["1000", "4.00", "250", "5.00", "0.50"]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_fan_out_in_one_orchestration_has_a_row_of_its_own() -> None:
    shown = markdown({"fanout": {"1000": {**FAN_OUT, "flat": {**FAN_OUT, "ratio_to_limit": 0.25}}}})

    assert [cells_of(line)[4] for line in shown.splitlines()[2:]] == ["0.50", "0.25"]


def test_the_restarts_after_a_kill_have_a_row_each() -> None:
    figures = {"first_episode_seconds": 1.5, "longest_first_episode_seconds": 2.0, "ready_seconds": 1.25, "runs": 3}

    shown = markdown({"restart": {"event": figures, "fanout": {**figures, "ready_seconds": 0.5}}})

    assert [cells_of(line) for line in shown.splitlines()[2:]] == [
        ["an event held for a suspended instance", "1.50", "2.00", "1.25"],
        ["in the middle of a fan-out", "1.50", "2.00", "0.500"],
    ]


def test_the_console_has_a_row_for_each_page() -> None:
    figures = {"drawn_ms": 120.4, "longest_drawn_ms": 150, "frame_p50_ms": 16.7, "frame_p95_ms": 17.2}

    shown = markdown({"console": {"list": figures}})

    assert cells_of(shown.splitlines()[2]) == ["list", "120", "150", "17", "17"]


def test_a_peer_that_could_not_be_measured_is_named_with_the_reason() -> None:
    assert "not measured: there is no PostgreSQL" in markdown({"peers": {"100": PEERS}})


def test_the_lines_of_the_plot_are_the_measurements_over_n() -> None:
    document: Document = {
        "limit": {"10": LIMIT, "1000": LIMIT},
        "fanout": {"10": FAN_OUT, "1000": {**FAN_OUT, "flat": {**FAN_OUT, "seconds": 8.0}}},
        "peers": {"100": PEERS},
        "start-up": {"ready": {"seconds": 1.0}},
    }

    assert seconds_by_chunks(document) == {
        "limit": {10: 2.0, 1000: 2.0},
        "fan-out": {10: 4.0, 1000: 4.0},
        "fan-out in one orchestration": {1000: 8.0},
        "beside its peers: durablehost": {100: 1.0},
        "Prefect": {100: 2.0},
    }
