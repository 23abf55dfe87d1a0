"""Further kinds of instances that stop half-way: with losers of races, large values, and changes of children."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.interop.kinds import (
    HALF_WAY_SECONDS,
    HAND_OVER_SECONDS,
    LARGE,
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
from packages.durablehost.tests.interop.rare_kinds import gate_server

DAY_SECONDS = 86_400
SIGNALS = range(40)


def _of_child(step: Callable[[Host, Run], None]) -> Callable[[Host, Run], None]:
    """The step with the child whose id is that of its parent and `-child`."""
    return lambda host, run: step(host, Run(id=f"{run.id}-child", folder=run.folder))


def _post(operation: str) -> Callable[[Host, Run], None]:
    return lambda host, run: host.post(run.id, operation)


def _suspended(host: Host, run: Run) -> None:
    host.post(run.id, "suspend")
    host.wait_for_status(run.id, "Suspended", seconds=HALF_WAY_SECONDS)


def _restarted(host: Host, run: Run) -> None:
    host.restart(run.id)


def _mended_by_hand(host: Host, run: Run) -> None:
    run.file.write_text("there")


def _fetched_twice(host: Host, run: Run) -> None:
    calls = run.folder / "calls"
    eventually_blocking(lambda: len(calls.read_text().splitlines()) >= 2, timeout_seconds=HALF_WAY_SECONDS)


def _waits_again(host: Host, run: Run) -> None:
    run.gate.wait_until_reached(2)


def _started_anew_after_a_purge(host: Host, run: Run) -> None:
    """The results of the purged instance's work come to the new one."""
    host.post(run.id, "terminate")
    host.wait_for_status(run.id, "Terminated")
    host.purge(run.id)
    host.start(run.id, [["event", "go"], ["activity", "echo", "anew"]])
    host.wait_for_event(run.id, "ExecutionStarted")
    host.raise_event(run.id, "go", "went")


def _output(expected: object) -> Callable[[Host, Run], None]:
    def wait(host: Host, run: Run) -> None:
        eventually_blocking(
            lambda: host.status(run.id)["output"] == expected, timeout_seconds=HAND_OVER_SECONDS, interval_seconds=0.3
        )

    return wait


def _gave_up(status: Any) -> None:
    text, last = status["output"]
    assert "fails" in text, status
    assert last == 1, status


def _counted(status: Any) -> None:
    """The calls are counted, and one whose host is killed may be made once more."""
    (counts,) = status["output"]
    assert [min(count, 2) for count in counts] == [2, 2, 2], status


FURTHER_KINDS = {
    "any-of-requests": Kind(
        steps=lambda run: [
            ["any", ["http", f"{gate_server()}{quote(str(run.folder))}"], ["event", "go"]],
            ["activity", "echo", 1],
            ["event", "stop"],
        ],
        half_way=in_turn(waits_at_gate, raised("go", "went"), recorded("TaskCompleted")),
        go_on=raised("stop", "stopped"),
        expected=["went", 1, "stopped"],
    ),
    "any-of-calls": Kind(
        steps=lambda run: [
            ["any", ["call", run.id, "add", 1], ["event", "never"]],
            ["any", ["child", [run.gated]], ["child", [["event", "go"]], f"{run.id}-child"]],
            ["call", run.id, "add", 2],
            ["child", [["activity", "echo", 3]]],
            ["event", "stop"],
        ],
        half_way=in_turn(
            waits_at_gate,
            lambda host, run: host.wait_for_event(f"{run.id}-child", "ExecutionStarted"),
            _of_child(raised("go", "went")),
            recorded("SubOrchestrationInstanceCompleted"),
        ),
        go_on=raised("stop", "stopped"),
        expected=[1, ["went"], 3, [3], "stopped"],
    ),
    "continued-with-losers": Kind(
        steps=lambda run: [
            ["any", run.gated, ["call", run.id, "add", 1], ["event", "never"]],
            ["again"],
            ["any", ["event", "go"], ["timer", 3600], ["event", "other"]],
            ["again"],
            ["call", run.id, "add", 2],
        ],
        # It waits for the activity before it continues as new.
        go_on=in_turn(results(1), raised("go", "went")),
        expected=[1, "went", 3],
    ),
    "retries-together": Kind(
        steps=lambda run: [
            [
                "together",
                *(["retried", "flaky", {"calls": f"{run.file}{n or ''}", "failures": 1}] for n in range(3)),
            ]
        ],
        half_way=in_turn(failed_once, recorded_times("TimerCreated", 3)),
        check=_counted,
    ),
    "retries-given-up": Kind(
        steps=lambda run: [
            ["caught", "retried", "flaky", {"calls": str(run.file), "failures": 99}],
            ["activity", "echo", 1],
        ],
        half_way=in_turn(failed_once, recorded("TimerCreated")),
        check=_gave_up,
    ),
    "four-levels": Kind(
        steps=lambda run: [["child", [["child", [["child", [run.gated, ["activity", "echo", LARGE]]]]]]]],
        expected=[[[["gated", LARGE]]]],
    ),
    "large-children": Kind(
        steps=lambda run: [
            ["together", ["child", [["activity", "echo", LARGE]]], ["child", [run.gated, ["activity", "echo", LARGE]]]],
            ["again"],
            ["event", "go"],
        ],
        half_way=in_turn(waits_at_gate, recorded("SubOrchestrationInstanceCompleted")),
        go_on=in_turn(results(1), raised("go", LARGE)),
        expected=[[[LARGE], ["gated", LARGE]], LARGE],
    ),
    "large-state": Kind(
        steps=lambda run: [
            ["call", run.id, "set", LARGE],
            run.gated,
            ["call", run.id, "get", None],
            ["call", run.id, "set", 1],
            ["signal", run.id, "set", LARGE],
            ["call", run.id, "get", None],
        ],
        expected=[LARGE, "gated", LARGE, 1, LARGE],
    ),
    "half-of-a-fan-out": Kind(
        steps=lambda run: [
            ["together", *(["activity", "echo", n] for n in range(20)), run.gated, ["timer", 1], ["event", "go"]],
        ],
        half_way=in_turn(waits_at_gate, recorded_times("TaskCompleted", 20)),
        go_on=raised("go", "went"),
        expected=[[*range(20), "gated", None, "went"]],
    ),
    "signals-in-the-middle": Kind(
        steps=lambda run: [
            *(["signal", f"{run.id}-{number % 3}", "add", number] for number in SIGNALS),
            ["child", [*(["signal", f"{run.id}-0", "add", 1] for _ in SIGNALS), run.gated]],
            ["call", f"{run.id}-0", "add", 0],
            ["together", *(["call", f"{run.id}-{number}", "add", 0] for number in (1, 2))],
        ],
        expected=[["gated"], sum(SIGNALS[::3]) + len(SIGNALS), [sum(SIGNALS[1::3]), sum(SIGNALS[2::3])]],
    ),
    "suspended-child": Kind(
        steps=lambda run: [["child", [run.gated, ["event", "go"]], f"{run.id}-child"], ["activity", "echo", 1]],
        half_way=in_turn(waits_at_gate, _of_child(_suspended), _of_child(raised("go", "went"))),
        go_on=_of_child(_post("resume")),
        expected=[["gated", "went"], 1],
    ),
    "suspended-parent-of-a-failed": Kind(
        steps=lambda run: [["caught", "child", [run.gated, ["fail", "boom"]], f"{run.id}-child"], ["event", "go"]],
        half_way=in_turn(
            waits_at_gate,
            _suspended,
            lambda host, run: run.gate.open(),
            _of_child(in_status("Failed")),
            raised("go", "went"),
        ),
        go_on=_post("resume"),
        check=lambda status: _ends_with(status, "boom", "went"),
    ),
    "child-terminated-while-suspended": Kind(
        steps=lambda run: [["caught", "child", [["event", "never"]], f"{run.id}-child"], ["event", "go"]],
        half_way=in_turn(
            recorded("SubOrchestrationInstanceCreated"), _of_child(recorded("ExecutionStarted")), _of_child(_suspended)
        ),
        go_on=in_turn(_of_child(terminated), raised("go", "went")),
        check=lambda status: _ends_with(status, "enough", "went"),
    ),
    "rewound-and-waiting": Kind(
        steps=lambda run: [
            ["child", [["activity", "fetch", str(run.file)], ["event", "go"]], f"{run.id}-child"],
            ["activity", "echo", 1],
        ],
        half_way=in_turn(in_status("Failed"), mended, _fetched_twice),
        go_on=_of_child(raised("go", "went")),
        expected=[["there", "went"], 1],
    ),
    "restarted-half-way": Kind(
        steps=lambda run: [["event", "go"], run.gated, ["event", "stop"]],
        half_way=in_turn(
            recorded("ExecutionStarted"),
            raised("go", "old"),
            waits_at_gate,
            terminated,
            in_status("Terminated"),
            _restarted,
            in_status("Running"),
            raised("go", "new"),
            _waits_again,
        ),
        go_on=raised("stop", "stopped"),
        expected=["new", "gated", "stopped"],
    ),
    "purged-with-work": Kind(
        steps=lambda run: [["together", run.gated, run.gated, ["timer", 1], ["call", run.id, "add", 1]]],
        half_way=lambda host, run: run.gate.wait_until_reached(2),
        go_on=_started_anew_after_a_purge,
        expected=["went", "anew"],
    ),
    "failed-and-restarted": Kind(
        steps=lambda run: [["activity", "fetch", str(run.file)], ["child", [["activity", "echo", 1]]]],
        half_way=in_status("Failed"),
        go_on=in_turn(_mended_by_hand, _restarted, _output(["there", [1]])),
        expected=["there", [1]],
    ),
    "long-timer": Kind(
        steps=lambda run: [["any", ["event", "go"], ["timer", 5 * DAY_SECONDS]], ["timer", 1]],
        half_way=recorded("TimerCreated"),
        go_on=raised("go", "went"),
        expected=["went", None],
    ),
}


def _ends_with(status: Any, text: str, last: object) -> None:
    caught, end = status["output"]
    assert text in caught, status
    assert end == last, status
