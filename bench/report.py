"""Renders the figures as Markdown tables, as in docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.figures import Figures

Document = dict[str, dict[str, Figures]]


def markdown(document: Document) -> str:
    """A table per section that was measured."""
    tables = [render(document[section]) for section, render in TABLES.items() if section in document]
    return "\n\n".join(tables)


def _limit(figures: dict[str, Figures]) -> str:
    rows = [[chunks, _seconds(each["seconds"]), _rate(each["chunks_per_second"])] for chunks, each in figures.items()]
    return table(["limit: chunks", "seconds", "chunks/s"], rows)


def _fan_outs(figures: dict[str, Figures]) -> str:
    rows = []
    for chunks, each in figures.items():
        rows.append([chunks, *_fan_out_cells(each)])
        if "flat" in each:
            rows.append([f"{chunks}, in one orchestration", *_fan_out_cells(each["flat"])])
    return table(["fan-out: chunks", *_FAN_OUT_COLUMNS], rows)


def _many(figures: dict[str, Figures]) -> str:
    rows = [
        [f"{each['orchestrations']} x {int(chunks) // each['orchestrations']}", *_fan_out_cells(each)]
        for chunks, each in figures.items()
    ]
    return table(["many: orchestrations x chunks", *_FAN_OUT_COLUMNS], rows)


_FAN_OUT_COLUMNS = [
    "seconds",
    "chunks/s",
    "settled, s",
    "ratio to the limit",
    "ms per chunk",
    "requests per chunk",
    "messages at most",
    "CPU s: host",
    "workers",
    "Azurite",
    "peak MB: host",
    "workers",
    "Azurite",
]


def _fan_out_cells(each: Figures) -> list[str]:
    return [
        _seconds(each["seconds"]),
        _rate(each["chunks_per_second"]),
        _seconds(each["settled_seconds"]),
        f"{each['ratio_to_limit']:.2f}",
        f"{each['milliseconds_per_chunk']:.1f}",
        f"{each['storage_requests_per_chunk']:.1f}",
        f"{each['most_messages_stored']:,}",
        *(_seconds(seconds) for seconds in each["cpu_seconds"].values()),
        *(f"{megabytes:.0f}" for megabytes in each["peak_rss_mb"].values()),
    ]


def _latency(figures: dict[str, Figures]) -> str:
    one, row, event = figures["1"], figures["20"], figures["event"]
    lines = {
        "one chunk, POST to Completed": (one, "completed"),
        "its storage operations, one after another": (one, "storage_chain"),
        "POST to the first activity": (one, "first_activity"),
        "20 activities in a row": (row, "completed"),
        "external event to the activity after it": (event, "next_activity"),
        "in all of these: to see a completion": (one, "detection"),
        "for comparison: one status request": (one, "status_request"),
    }
    rows = [
        [name, *(f"{each[f'{key}_{rank}_ms']:.1f}" for rank in ("p50", "p95"))] for name, (each, key) in lines.items()
    ]
    rows.append(["one chunk / its storage operations", f"{one['ratio_to_storage_chain']:.1f}", ""])
    return table(["latency of an idle host", "p50, ms", "p95, ms"], rows)


def _workloads(figures: dict[str, Figures]) -> str:
    rows = [[name, *(_figure(each.get(key)) for key in _WORKLOAD_COLUMNS)] for name, each in figures.items()]
    return table(["workloads, in seconds", *_WORKLOAD_COLUMNS], rows)


_WORKLOAD_COLUMNS = ["durablehost", "real engine", "ratio"]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _start_up(figures: dict[str, Figures]) -> str:
    ready = figures["ready"]
    cells = [_seconds(ready[key]) for key in ("seconds", "imports_seconds", "seconds_beyond_imports")]
    return table(["start-up", "ready, s", "imports alone, s", "beyond them, s"], [["durablehost", *cells]])


def _restart(figures: dict[str, Figures]) -> str:
    names = {"event": "an event held for a suspended instance", "fanout": "in the middle of a fan-out"}
    keys = ("first_episode_seconds", "longest_first_episode_seconds", "ready_seconds")
    rows = [[names[kind], *(_seconds(each[key]) for key in keys)] for kind, each in figures.items()]
    return table(["restart after kill -9", "first episode, s", "at most", "ready, s"], rows)


def _compute(figures: dict[str, Figures]) -> str:
    rows = [
        [
            chunks,
            _seconds(each["seconds"]),
            f"{each['readings_per_second'] / 1e6:.1f}",
            f"{each['activity_alone_readings_per_second'] / 1e6:.1f}",
            f"{each['single_pass_readings_per_second'] / 1e6:.1f}",
            f"{each['ratio_to_activity_alone']:.2f}",
            f"{each['ratio_to_single_pass']:.2f}",
        ]
        for chunks, each in figures.items()
    ]
    return table(_COMPUTE_COLUMNS, rows)


_COMPUTE_COLUMNS = [
    "compute: chunks",
    "seconds",
    "million readings/s",
    "of the activity alone",
    "of a single pass",
    "ratio to the activity alone",
    "to the single pass",
]


def _console(figures: dict[str, Figures]) -> str:
    keys = ("drawn_ms", "longest_drawn_ms", "frame_p50_ms", "frame_p95_ms")
    rows = [[name, *(f"{each[key]:.0f}" for key in keys)] for name, each in figures.items()]
    return table(["console", "drawn, ms", "at most", "frame p50, ms", "p95"], rows)


def _peers(figures: dict[str, Figures]) -> str:
    rows = []
    for chunks, by_name in figures.items():
        for name, each in by_name.items():
            rows.append([f"{name}, {chunks} chunks", *_peer_cells(each)])
    return table(["peers", "seconds", "chunks/s", "times durablehost's", "settled, s"], rows)


def _peer_cells(each: Figures) -> list[str]:
    if "missing" in each:
        return [f"not measured: {each['missing']}", "", "", ""]
    settled = each.get("settled_seconds")
    return [
        _seconds(each["seconds"]),
        _rate(each["chunks_per_second"]),
        f"{each['times_durablehost']:.2f}",
        _seconds(settled) if settled else "",
    ]


TABLES = {
    "limit": _limit,
    "fanout": _fan_outs,
    "latency": _latency,
    "many": _many,
    "workloads": _workloads,
    "start-up": _start_up,
    "restart": _restart,
    "compute": _compute,
    "console": _console,
    "peers": _peers,
}


def seconds_by_chunks(document: Document) -> dict[str, dict[int, float]]:
    """The lines of the plot: for each measurement, the seconds by N."""
    fan_outs = document.get("fanout", {})
    measured = {
        "limit": document.get("limit", {}),
        "fan-out": fan_outs,
        "fan-out in one orchestration": {chunks: each["flat"] for chunks, each in fan_outs.items() if "flat" in each},
        **_by_peer(document.get("peers", {})),
    }
    return {
        name: {int(chunks): float(each["seconds"]) for chunks, each in figures.items()}
        for name, figures in measured.items()
        if figures
    }


def _by_peer(peers: dict[str, Figures]) -> dict[str, dict[str, Figures]]:
    """The measured figures of each peer, by N."""
    by_peer: dict[str, dict[str, Figures]] = {}
    for chunks, by_name in peers.items():
        for name, each in by_name.items():
            if "missing" not in each:
                by_peer.setdefault(f"beside its peers: {name}" if name == "durablehost" else name, {})[chunks] = each
    return by_peer


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns, the first to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in [header, rule, *lines[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
