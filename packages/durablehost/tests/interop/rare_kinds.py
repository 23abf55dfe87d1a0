"""Further kinds of instances that stop half-way: combinations that are rarer than those of `kinds.py`."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.interop.kinds import (
    HALF_WAY_SECONDS,
    HAND_OVER_SECONDS,
    Host,
    Kind,
    Run,
    failed_once,
    in_status,
    in_turn,
    mended,
    raised,
    recorded,
    recorded_times,
    results,
    terminated,
    waits_at_gate,
)

ODD_ID = "An odd id: é € (1) & 'x' = 5% ^2F ~;,$!*"
ODD_CHILD = "slash/back\\hash#query?percent%2F^é"
VALUES = {
    "whole": 2.0, "fraction": 0.1, "small": 1e-7, "large": 1e300, "integer": 2**63, "beyond": 12345678901234567890123,
    "negative": -0.0, "text": "é € \U0001f600 \u2028 \u007f <a href=\"x\">&'\\", "empty": "", "null": None,
    "nested": [[], {}, [None, False, True]], "$type": "System.String", "looks": ["null", "5", "{}", "NaN"],
}  # fmt: skip
NOTHING: Sequence[object] = ("", None, 0, False, [], {})


def _calls(count: int) -> Callable[[Host, Run], None]:
    """Waits until the activity `fetch` has been called so often, and the instance has failed."""

    def reached(run: Run) -> bool:
        calls = run.folder / "calls"
        return calls.exists() and len(calls.read_text().splitlines()) >= count

    def wait(host: Host, run: Run) -> None:
        eventually_blocking(lambda: reached(run), timeout_seconds=HALF_WAY_SECONDS)
        host.wait_for_status(run.id, "Failed")

    return wait


def _output(expected: object) -> Callable[[Host, Run], None]:
    """Waits for an output that a finished instance does not have yet."""

    def wait(host: Host, run: Run) -> None:
        eventually_blocking(
            lambda: host.status(run.id)["output"] == expected, timeout_seconds=HAND_OVER_SECONDS, interval_seconds=0.3
        )

    return wait


def _started_anew(host: Host, run: Run) -> None:
    host.start(run.id, [["activity", "echo", "anew"]])


def _child_ended(host: Host, run: Run) -> None:
    host.raise_event(f"{run.id}-child", "go", "went")
    status = host.wait_for_status(f"{run.id}-child", "Completed")
    assert status["output"] == ["went"], status


@functools.cache
def gate_server() -> str:
    """The address of a server whose paths are folders: it answers when their file `gate` exists."""

    class Gates(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            folder = Path(unquote(self.path))
            with (folder / "runs").open("a") as runs:
                runs.write("asked\n")
            eventually_blocking((folder / "gate").exists)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gates)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def _was_terminated(status: Any) -> None:
    text, gated = status["output"]
    assert "enough" in text, status
    assert gated == "gated", status


def _were_retried(status: Any) -> None:
    """The calls are counted, and one whose host is killed may be made once more."""
    ((((first,),), (second,)),) = status["output"]
    assert min(first, second) >= 2, status


def _was_fetched(status: Any) -> None:
    answer = status["output"][0]
    answer = json.loads(answer) if isinstance(answer, str) else answer
    assert (answer["statusCode"], answer["content"]) == (200, "done"), status


RARE_KINDS = {
    "deep-children": Kind(
        steps=lambda run: [
            ["retried-child", [["child", [["retried", "flaky", {"calls": str(run.file), "failures": 1}], run.gated]]]]
        ],
        expected=[[[2, "gated"]]],
    ),
    "retried-children": Kind(
        steps=lambda run: [
            [
                "together",
                ["retried-child", [["child", [["activity", "flaky", {"calls": str(run.file), "failures": 1}]]]]],
                [
                    "retried-child",
                    [["activity", "flaky", {"calls": f"{run.file}-2", "failures": 1}]],
                    f"{run.id}-given",
                ],
            ]
        ],
        half_way=in_turn(failed_once, recorded_times("TimerCreated", 1)),
        check=_were_retried,
    ),
    "any": Kind(
        steps=lambda run: [
            ["any", run.gated, ["event", "go"], ["timer", 3600], ["child", [["event", "go"]], f"{run.id}-child"]],
            ["activity", "echo", 1],
            ["event", "stop"],
        ],
        half_way=in_turn(waits_at_gate, raised("go", "went"), recorded("TaskCompleted")),
        go_on=in_turn(raised("stop", "stopped"), _child_ended),
        expected=["went", 1, "stopped"],
    ),
    "any-timer": Kind(
        steps=lambda run: [["any", run.gated, ["event", "go"], ["timer", 2]], ["event", "stop"]],
        half_way=recorded("TimerFired"),
        go_on=raised("stop", "stopped"),
        expected=[None, "stopped"],
    ),
    "continued-with-a-child": Kind(
        steps=lambda run: [
            ["any", ["child", [run.gated], f"{run.id}-child"], ["activity", "echo", 0]],
            ["again"],
            ["activity", "echo", 1],
            ["child", [["activity", "echo", 2]]],
        ],
        expected=[0, 1, [2]],
    ),
    "continued-often": Kind(
        steps=lambda run: [
            *(step for number in range(5) for step in (["child", [["activity", "echo", number]]], ["again"])),
            run.gated,
            *(step for number in range(5) for step in (["again"], ["child", [["activity", "echo", number]]])),
        ],
        expected=[*([number] for number in range(5)), "gated", *([number] for number in range(5))],
    ),
    "restarted": Kind(
        steps=lambda run: [["activity", "flaky", {"calls": str(run.file), "failures": 0}]],
        half_way=in_status("Completed"),
        go_on=in_turn(lambda host, run: host.restart(run.id), _output([2])),
        expected=[2],
    ),
    "started-again": Kind(
        steps=lambda run: [["activity", "echo", "first"], ["again"], ["activity", "echo", "second"]],
        half_way=in_status("Completed"),
        go_on=in_turn(_started_anew, _output(["anew"])),
        expected=["anew"],
    ),
    "purged-and-started-again": Kind(
        steps=lambda run: [["activity", "echo", "x" * 100_000], ["call", run.id, "add", 1]],
        half_way=in_status("Completed"),
        go_on=in_turn(lambda host, run: host.purge(run.id), _started_anew),
        expected=["anew"],
    ),
    ODD_ID: Kind(
        steps=lambda run: [
            ["child", [run.gated], ODD_CHILD],
            ["call", "key/with\\odd#characters?é%", "add", 1],
            ["signal", "KEY/with\\odd#characters?é%", "add", 1],
            ["event", "an event: é #?%"],
        ],
        go_on=lambda host, run: host.post(run.id, f"raiseEvent/{quote('an event: é #?%', safe='')}", "went"),
        expected=[["gated"], 1, "went"],
    ),
    "case": Kind(steps=lambda run: [run.gated, ["event", "go"]], go_on=raised("go", 1), expected=["gated", 1]),
    "CASE": Kind(steps=lambda run: [run.gated, ["event", "go"]], go_on=raised("go", 2), expected=["gated", 2]),
    "values": Kind(
        steps=lambda run: [
            ["status", ""],
            ["activity", "echo", VALUES],
            run.gated,
            ["again"],
            ["status", VALUES],
            ["child", [["activity", "echo", VALUES]]],
            ["event", "go"],
        ],
        go_on=in_turn(results(2), raised("go", VALUES)),
        expected=[VALUES, "gated", [VALUES], VALUES],
    ),
    "nothing": Kind(
        steps=lambda run: [
            *(["activity", "echo", value] for value in NOTHING),
            run.gated,
            *(["activity", "echo", value] for value in NOTHING),
            ["event", "go"],
        ],
        go_on=raised("go", ""),
        expected=[*NOTHING, "gated", *NOTHING, ""],
    ),
    "http": Kind(
        steps=lambda run: [["http", f"{gate_server()}{quote(str(run.folder))}"]],
        check=_was_fetched,
    ),
    "rewound-deep": Kind(
        steps=lambda run: [
            [
                "together",
                [
                    "child",
                    [["child", [["activity", "fetch", str(run.file)]], f"{run.id}-grandchild"]],
                    f"{run.id}-child",
                ],
                ["child", [["child", [["activity", "fetch", str(run.file)]]]]],
            ],
            ["activity", "echo", 1],
        ],
        half_way=in_status("Failed"),
        go_on=mended,
        expected=[[[["there"]], [["there"]]], 1],
    ),
    "rewound-twice": Kind(
        steps=lambda run: [["child", [["child", [["activity", "fetch", str(run.file)]]]]], ["activity", "echo", 1]],
        half_way=in_turn(_calls(1), lambda host, run: host.post(run.id, "rewind"), _calls(2)),
        go_on=mended,
        expected=[[["there"]], 1],
    ),
    "rewound-and-running": Kind(
        steps=lambda run: [["child", [["activity", "fetch", str(run.file)], run.gated]], ["activity", "echo", 1]],
        half_way=in_turn(in_status("Failed"), mended, waits_at_gate),
        expected=[["there", "gated"], 1],
    ),
    "terminated-parent": Kind(
        steps=lambda run: [["child", [["event", "go"]], f"{run.id}-child"]],
        half_way=in_turn(recorded("SubOrchestrationInstanceCreated"), terminated, in_status("Terminated")),
        go_on=_child_ended,
        status="Terminated",
        expected="enough",
    ),
    "terminated-child": Kind(
        steps=lambda run: [["caught", "child", [["event", "go"]], f"{run.id}-child"], run.gated],
        half_way=in_turn(
            recorded("SubOrchestrationInstanceCreated"),
            lambda host, run: host.wait_for_event(f"{run.id}-child", "ExecutionStarted"),
            lambda host, run: host.post(f"{run.id}-child", "terminate", reason="enough"),
            waits_at_gate,
        ),
        check=_was_terminated,
    ),
}
