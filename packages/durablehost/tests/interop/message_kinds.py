"""Further kinds of instances that stop half-way: with events, suspensions, late starts, and requests to entities."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from durablehost.core.entity_messages import (
    OPERATION_EVENT,
    RELEASE_EVENT,
    EntityRequest,
    request_to_text,
    scheduled_name,
)
from durablehost.core.ids import EntityId
from durablehost.core.ticks import ticks_of
from packages.durablehost.tests.eventually import eventually_blocking
from packages.durablehost.tests.hubs import build
from packages.durablehost.tests.interop.kinds import (
    HALF_WAY_SECONDS,
    HAND_OVER_SECONDS,
    Host,
    Kind,
    Run,
    in_status,
    in_turn,
    raised,
    recorded,
    recorded_times,
    terminated,
    waits_at_gate,
)

EVENTS = range(30)
# A delayed signal is due after the host that has begun is killed.
DELAYED = timedelta(seconds=40)


def _suspended(host: Host, run: Run) -> None:
    host.post(run.id, "suspend")
    host.wait_for_status(run.id, "Suspended", seconds=HALF_WAY_SECONDS)


def _resumed(host: Host, run: Run) -> None:
    host.post(run.id, "resume")


def _raised_each(host: Host, run: Run) -> None:
    for number in EVENTS:
        host.raise_event(run.id, f"go-{number}", number)


def _has_state(key: Callable[[Run], str], value: int) -> Callable[[Host, Run], None]:
    def wait(host: Host, run: Run) -> None:
        eventually_blocking(
            lambda: host.state(key(run)) == value, timeout_seconds=HAND_OVER_SECONDS, interval_seconds=0.3
        )

    return wait


def _signalled_later(host: Host, run: Run) -> None:
    """Sends a signal that is due later, as only apps in other languages can."""
    at = datetime.now(timezone.utc) + DELAYED
    request = EntityRequest(id=str(uuid.uuid4()), operation="add", is_signal=True, input=json.dumps("5"), due_at=at)
    entity = EntityId.of("Counter", run.id).instance_id
    host.send(build.event_raised(entity, scheduled_name(at), input_text=request_to_text(request)))


def _entities(run: Run) -> tuple[EntityId, EntityId]:
    return EntityId.of("Counter", f"{run.id}-a"), EntityId.of("Counter", f"{run.id}-b")


def _lock_id(run: Run) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, run.id))


def _locked(host: Host, run: Run) -> None:
    """Locks two entities for the instance, as only apps in other languages can, and lets a signal wait for one."""
    run.gate.wait_until_reached()
    first, last = (entity.instance_id for entity in _entities(run))
    # Without a time, the real engine takes it for a duplicate.
    now = ticks_of(datetime.now(timezone.utc))
    lock = EntityRequest(id=_lock_id(run), operation=None, parent=run.id, timestamp=now, lock_set=_entities(run))
    host.send(build.event_raised(first, OPERATION_EVENT, input_text=request_to_text(lock)))

    def is_locked() -> bool:
        status = host.status(last)
        return status is not None and status["customStatus"].get("lockedBy") == run.id

    eventually_blocking(is_locked, timeout_seconds=HALF_WAY_SECONDS, interval_seconds=0.3)
    host.signal(f"{run.id}-a", "add", "10")


def _released(host: Host, run: Run) -> None:
    for entity in _entities(run):
        release = {"parent": run.id, "id": _lock_id(run)}
        host.send(build.event_raised(entity.instance_id, RELEASE_EVENT, input_text=json.dumps(release)))


def _failed_in_between(status: Any) -> None:
    first, text, *rest = status["output"]
    assert "cannot that" in text, status
    assert [first, *rest] == [1, "gated", 3], status


def _added_up(status: Any) -> None:
    assert status["output"][-1] == 33, status


MESSAGE_KINDS = {
    "many-events": Kind(
        steps=lambda run: [["event", f"go-{number}"] for number in EVENTS],
        half_way=in_turn(recorded("ExecutionStarted"), _suspended, _raised_each),
        go_on=_resumed,
        expected=list(EVENTS),
    ),
    "suspended-with-all": Kind(
        steps=lambda run: [
            [
                "together",
                run.gated,
                ["child", [run.gated], f"{run.id}-child"],
                ["timer", 1],
                ["event", "go"],
                ["call", run.id, "add", 1],
            ],
            ["activity", "echo", 1],
        ],
        half_way=in_turn(
            lambda host, run: run.gate.wait_until_reached(2),
            _suspended,
            raised("go", "went"),
            lambda host, run: run.gate.open(),
            lambda host, run: host.wait_for_status(f"{run.id}-child", "Completed") and None,
        ),
        go_on=_resumed,
        expected=[["gated", ["gated"], None, "went", 1], 1],
    ),
    "suspended-there-and-here": Kind(
        steps=lambda run: [["event", "go"], run.gated, ["event", "stop"]],
        half_way=in_turn(recorded("ExecutionStarted"), _suspended, _resumed, raised("go", "went"), waits_at_gate),
        go_on=in_turn(_suspended, raised("stop", "stopped"), _resumed),
        expected=["went", "gated", "stopped"],
    ),
    "delayed-signal": Kind(
        steps=lambda run: [["call", run.id, "add", 1], run.gated, ["event", "go"], ["call", run.id, "add", 0]],
        half_way=in_turn(waits_at_gate, _signalled_later),
        go_on=in_turn(_has_state(lambda run: run.id, 6), raised("go", "went")),
        expected=[1, "gated", "went", 6],
    ),
    "locked": Kind(
        steps=lambda run: [
            run.gated,
            ["call", f"{run.id}-a", "add", 1],
            ["call", f"{run.id}-b", "add", 2],
            ["event", "go"],
        ],
        half_way=_locked,
        go_on=in_turn(
            # The signal, which came first, waits.
            recorded_times("EventRaised", 2),
            _released,
            _has_state(lambda run: f"{run.id}-a", 11),
            raised("go", "went"),
        ),
        expected=["gated", 1, 2, "went"],
    ),
    "event-in-another-case": Kind(
        steps=lambda run: [["event", "go"], run.gated, ["event", "go"]],
        half_way=in_turn(raised("GO", "wrong"), raised("go", "went"), waits_at_gate, raised("Go", "wrong")),
        go_on=raised("go", "again"),
        expected=["went", "gated", "again"],
    ),
    "suspended-and-terminated": Kind(
        steps=lambda run: [["event", "go"]],
        half_way=in_turn(recorded("ExecutionStarted"), _suspended, raised("go", "went")),
        go_on=terminated,
        status="Terminated",
        expected="enough",
    ),
    "scheduled-and-terminated": Kind(
        steps=lambda run: [["event", "go"]],
        starts_in=DELAYED,
        half_way=in_status("Pending"),
        go_on=terminated,
        status="Terminated",
        expected="enough",
    ),
    "deleted-entity": Kind(
        steps=lambda run: [
            ["call", run.id, "add", 5],
            ["call", run.id, "delete", 0],
            run.gated,
            ["call", run.id, "add", 1],
        ],
        expected=[5, 5, "gated", 1],
    ),
    "failed-entity": Kind(
        steps=lambda run: [
            ["call", run.id, "add", 1],
            ["caught", "call", run.id, "fail", "that"],
            run.gated,
            ["call", run.id, "add", 2],
        ],
        check=_failed_in_between,
    ),
    "signalled-often": Kind(
        steps=lambda run: [
            *(["signal", run.id, "add", number] for number in range(20)),
            run.gated,
            *(["signal", run.id, "add", number] for number in range(20)),
            ["call", run.id, "add", 0],
        ],
        expected=["gated", 380],
    ),
    "shared-entity": Kind(
        steps=lambda run: [
            [
                "together",
                *(["child", [["call", run.id, "add", 1], run.gated, ["call", run.id, "add", 10]]] for _ in "abc"),
            ],
            ["call", run.id, "add", 0],
        ],
        half_way=lambda host, run: run.gate.wait_until_reached(3),
        check=_added_up,
    ),
}
# The history has these events before their waits: on either host, the SDK gives the last one to each of them.
MESSAGE_KINDS_OF_THE_REAL_ENGINE = {
    **MESSAGE_KINDS,
    "events-of-one-name": Kind(
        steps=lambda run: [run.gated, ["event", "go"], ["event", "go"]],
        half_way=in_turn(waits_at_gate, raised("go", 1), raised("go", 2), recorded_times("EventRaised", 2)),
        expected=["gated", 2, 2],
    ),
}
