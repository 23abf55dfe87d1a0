"""Calls with times in many forms, parameters given twice, charsets, versions, texts with blanks, and odd keys."""

from __future__ import annotations

from dataclasses import replace

from packages.durablehost.tests.interop.answers.entity_calls import signal
from packages.durablehost.tests.interop.answers.programs import (
    DONE,
    FAILED,
    HISTORY,
    WAITING,
    Program,
    begun,
    shown,
    started,
    until,
)
from packages.durablehost.tests.interop.answers.steps import (
    JSON_TYPE,
    Call,
    Step,
    Until,
    UntilEntity,
    delete,
    get,
    post,
)

PAST_TIMES = (
    "2000-01-01T00:00:00.1234567Z", "2000-01-01T00:00:00%2B14:00", "2000-01-01T00:00:00+02:00",
    "2000-01-01T00:00:00-0500", "20000101", "2000-001", "2000-W01-1", "2000-1-1", "2000-01", "01/01/2000",
    "31/01/2000", "Sat,%2001%20Jan%202000%2000:00:00%20GMT", "1%20January%202000", "January%201,%202000",
    "2000-01-01T24:00:00", "%202000-01-01%20", "946684800", "2000-01-01T10", "2000-01-01t00:00:00z",
    "2000/01/01", "1/1/2000%2010:00%20PM", "1.2.2000", "now", "-2000-01-01", "0000-01-01",
)  # fmt: skip
FURTHER_LISTS = (
    *(f"createdTimeTo={time}" for time in PAST_TIMES),
    "createdTimeFrom=12:00", "createdTimeFrom=2000-01-01&createdTimeFrom=2999-01-01",
    "createdTimeFrom=2999-01-01&createdTimeFrom=2000-01-01", "instanceIdPrefix=x", "CREATEDTIMEFROM=2999-01-01",
    "runtimeStatus=01", "runtimeStatus=99", "runtimeStatus=-1", "runtimeStatus=Unknown", "runtimeStatus=Suspended",
    "runtimeStatus=Completed;Failed", "top=0x1", "top=1.0", "top=%EF%BC%91",
)  # fmt: skip
TIMED: list[Step] = [
    *started("timed", DONE, "Completed"),
    *started("timed-failed", FAILED, "Failed"),
    *(get(f"instances?instanceIdPrefix=timed&{query}") for query in FURTHER_LISTS),
    delete("instances?createdTimeFrom=01/01/2999"),
    delete("instances?createdTimeFrom=2999-01-01&createdTimeFrom=2999-01-02"),
]

# A charset, and the body that is sent in its name.
ENCODINGS = (
    ("iso-8859-1", b'"\xe9"'),
    ("iso-8859-1", '"é"'.encode()),
    ("utf-16", '"é"'.encode("utf-16")),
    ("utf-16", '"é"'.encode()),
    ("utf-8", '"é"'.encode()),
    ("utf-8", '"é"'.encode("utf-16")),
    ("utf-8", b'"\xe9"'),
    ('"UTF-8"', '"é"'.encode()),
    ("nonsense", b"1"),
)
ENCODED: list[Step] = [
    step
    for number, (charset, body) in enumerate(ENCODINGS)
    for kind in (f"{JSON_TYPE}; charset={charset}",)
    for step in (
        begun(f"encoded-{number}", WAITING),
        until(f"encoded-{number}", "Running"),
        post(f"instances/encoded-{number}/raiseEvent/go", body, kind),
        post(f"orchestrators/echoed/encoded-start-{number}", body, kind),
        Until(instance_id=f"encoded-start-{number}"),
        get(f"instances/encoded-start-{number}"),
    )
]


def _versioned(name: str, query: str) -> list[Step]:
    return [
        replace(
            post(f"orchestrators/script/{name}?{query}", {"steps": [["version"]], "results": []}), is_compared=False
        ),
        until(name, "Completed"),
        get(f"instances/{name}?showInput=false"),
    ]


VERSIONS: list[Step] = [
    *_versioned("version-old", "version=0.5"),
    *_versioned("version-empty", "version="),
    *_versioned("version-blank", "version=%20"),
    *_versioned("version-twice", "VERSION=0.5&version=0.6"),
    post("instances/version-old/restart?restartWithNewInstanceId=false&timeout=60&pollingInterval=0.1"),
    get("instances/version-old?showInput=false"),
]

REASONS = ("reason=%20x%20", "reason=%0Ax%0A", "reason=a&reason=b", "REASON=a&reason=")
FAILURES: dict[str, Program] = {
    "blanks": [["fail", " x "]],
    "lines": [["fail", "x\n\n"]],
    "date": [["fail", "2026-01-01T00:00:00Z"]],
    "child": [["child", [["fail", " x "]]]],
    "deep": [["child", [["child", [["activity", "flaky", {"calls": "/dev/null", "failures": 1}]]]]]],
}
BLANKS: list[Step] = [
    *(
        step
        for number, query in enumerate(REASONS)
        for step in (
            *started(f"reason-{number}", WAITING, "Running"),
            post(f"instances/reason-{number}/suspend?{query}"),
            until(f"reason-{number}", "Suspended"),
            get(f"instances/reason-{number}"),
            post(f"instances/reason-{number}/terminate?{query}"),
            until(f"reason-{number}", "Terminated"),
            *shown(f"reason-{number}"),
        )
    ),
    *(
        step
        for name, steps in FAILURES.items()
        for step in (
            *started(f"failure-{name}", steps, "Failed"),
            get(f"instances/failure-{name}?{HISTORY}&showInput=false"),
        )
    ),
]

STATUSES = {
    "values": {"$values": [1]},
    "id": {"$id": "1", "a": 1},
    "type": {"$type": "System.String", "a": 1},
    "nested": {"a": {"$values": [1]}},
}
ODD_MEMBERS: list[Step] = [
    step
    for name, value in STATUSES.items()
    for step in (
        *started(f"members-{name}", [["status", value]], "Completed"),
        get(f"instances/members-{name}?showInput=false"),
        replace(post(f"orchestrators/echoed/members-{name}-output", value), is_compared=False),
        until(f"members-{name}-output", "Completed"),
        get(f"instances/members-{name}-output?showInput=false"),
    )
]

KEYS = ("it's", "%C3%A9", "%F0%9F%98%80", "a%20b", "a;b=c,d", "{x}", "Case", "case", "x@y", "a%25b", "(a)", "a:b")
ODD_KEYS: list[Step] = [
    *(signal(f"Counter/{key}?op=add", b'"3"') for key in KEYS),
    signal("Counter/spaced?op=set", b" "),
    # Its first operation fails.
    signal("Counter/failed?op=add", b"3"),
    *started("odd-keys", [["timer", 1]], "Completed"),
    *(UntilEntity(keys=(key,), state=3) for key in KEYS),
    *(get(f"entities/Counter/{key}") for key in KEYS),
    get("entities/Counter/failed"),
]

FURTHER_GROUPS: dict[str, list[Step]] = {
    "timed": TIMED,
    "encoded": ENCODED,
    "versions": VERSIONS,
    "blanks": BLANKS,
    "odd members": ODD_MEMBERS,
    "odd keys": ODD_KEYS,
    "odd methods": [Call(method=method, path="instances/nobody") for method in ("get", "Post", "FOO")],
}
