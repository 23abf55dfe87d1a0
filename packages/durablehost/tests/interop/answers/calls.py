"""The calls whose answers are compared, in groups that have nothing to do with one another."""

from __future__ import annotations

from datetime import datetime, timezone

from packages.durablehost.tests.interop.answers.entity_calls import ENTITIES
from packages.durablehost.tests.interop.answers.further_calls import FURTHER_GROUPS
from packages.durablehost.tests.interop.answers.odd_calls import ODD_ENTITIES, ODD_GROUPS
from packages.durablehost.tests.interop.answers.programs import (
    DONE,
    FAILED,
    HISTORY,
    WAITING,
    shown,
    start,
    started,
    until,
)
from packages.durablehost.tests.interop.answers.steps import Call, Plant, Step, Until, delete, get, post
from packages.durablehost.tests.interop.answers.work_calls import CHILDREN, WORK

BODIES = [
    b'{"a": 1}', b'"text"', b'"{\\"a\\": 1}"', b"1", b"1.50", b"[1, 2]", b"true", b"null", b"", b" ", b"{", b"NaN",
    b"1 2", b'{"a": 1, "a": 2}', b"\xff", b'"2026-01-01T10:00:00.000+02:00"', b"12345678901234567890123", b"1e400",
    b"'text'",
]  # fmt: skip
ORCHESTRATORS = [
    "script", "SCRIPT/upper", "script/a%20b", "script/plus+plus", "script/%C3%A9", "script/trailing/",
    "nowhere/unknown-orchestrator", "script/@counter@id", "script/a%23b", f"script/{300 * 'x'}", "script/a/b",
]  # fmt: skip
BODY_IDS = [f"body-{number}" for number in range(len(BODIES))]
STARTS: list[Step] = [
    *(post(f"orchestrators/echoed/{name}", body) for name, body in zip(BODY_IDS, BODIES, strict=True)),
    *(Until(instance_id=name) for name in BODY_IDS),
    *(get(f"instances/{name}?showHistory=true") for name in BODY_IDS),
    *(start(path) for path in ORCHESTRATORS),
    post("orchestrators"),
    post("orchestrators/script/typed", {"steps": DONE, "results": []}, "text/plain"),
    *(until(name, "Completed") for name in ("upper", "a%20b", "%C3%A9")),
    *(get(f"instances/{name}") for name in ("upper", "a%20b", "%C3%A9")),
    start("script/waited?timeout=30&pollingInterval=0.1"),
    start("script/waited-failed?timeout=30&pollingInterval=0.1", FAILED),
    start("script/waited-long?timeout=0.1&pollingInterval=0.1", WAITING),
    start("script/waited-wrong?timeout=1&pollingInterval=2", WAITING),
    start("script/waited-half?timeout=1", WAITING),
]

STATUS_QUERIES = [
    "", "?showInput=false", "?showInput=FALSE", "?showInput=no", "?showHistory=true",
    "?showHistory=True&showInput=false",
    f"?{HISTORY}", "?showHistoryOutput=true", "?showHistory=1", "?returnInternalServerErrorOnFailure=true",
]  # fmt: skip
STATUS: list[Step] = [
    *started(
        "done", [["activity", "echo", {"a": 1}], ["status", {"phase": 1}], ["activity", "echo", "text"]], "Completed"
    ),
    *started("failed", FAILED, "Failed"),
    *started("waiting", WAITING, "Running"),
    Plant(instance_id="versioned", status="Completed", like="done", columns={"Version": "1.2"}),
    *(get(f"instances/{name}{query}") for name in ("done", "failed", "waiting") for query in STATUS_QUERIES),
    *(get(f"instances/{path}") for path in ("versioned", "nobody", "nobody?showHistory=true", "done/")),
]

LIST_QUERIES = [
    "", "&runtimeStatus=Completed", "&runtimeStatus=Completed,Failed", "&runtimeStatus=Completed&runtimeStatus=Failed",
    "&runtimeStatus=failed", "&runtimeStatus=Nonsense", "&runtimeStatus=Running,Nonsense", "&runtimeStatus=",
    "&showInput=false", "&showHistory=true", "&top=0", "&top=-1", "&top=x", "&top=2.5", "&createdTimeFrom=2000-01-01",
    "&createdTimeFrom=0001-01-01", "&createdTimeFrom=0001-01-01T00:00:00Z", "&createdTimeFrom=nonsense",
    "&createdTimeFrom=2999-01-01T00:00:00%2B02:00", "&createdTimeTo=2000-01-01", "&createdTimeTo=0001-01-01",
    "&createdTimeTo=9999-12-31T23:59:59Z", "&createdTimeTo=nonsense",
]  # fmt: skip
LIST: list[Step] = [
    *started("list-a", DONE, "Completed"),
    *started("list-b", FAILED, "Failed"),
    *started("list-c", WAITING, "Running"),
    *(get(f"instances?instanceIdPrefix=list-{query}") for query in LIST_QUERIES),
    get("instances?instanceIdPrefix=nothing-"),
    get("instances?instanceIdPrefix=list-&top=2", keeps_token=True),
    get("instances?instanceIdPrefix=list-&top=2", sends_token=True),
    get("instances/?instanceIdPrefix=list-a"),
]

EVENTS: list[Step] = [
    *started("events", WAITING, "Running"),
    *(
        post(f"instances/{path}", body, content_type)
        for path, body, content_type in (
            ("events/raiseEvent/other", b'{"a": 1}', "application/json"),
            ("events/raiseEvent/other", b"1", "application/json; charset=utf-8"),
            ("events/raiseEvent/other", b"1", "APPLICATION/JSON"),
            ("events/raiseEvent/other", b"1", "text/plain"),
            ("events/raiseEvent/other", b"1", "application/problem+json"),
            ("events/raiseEvent/other", b"1", ""),
            ("nobody/raiseEvent/go", b"{", "text/plain"),
        )
    ),
    *(post("instances/events/raiseEvent/other", body) for body in (b"null", b'"text"', b"{", b"", b" ", b"NaN")),
    *(
        post(f"instances/{path}", b"1")
        for path in ("events/raiseEvent/", "events/raiseEvent/a/b", "nobody/raiseEvent/go")
    ),
    post("instances/events/raiseEvent"),
    post("instances/events/raiseEvent/go", {"b": 2}),
    until("events", "Completed"),
    *shown("events"),
    post("instances/events/raiseEvent/go", b"1"),
    post("instances/events/raiseEvent/go", b"1", "text/plain"),
    *started("event-names", [["event", "a b"], ["event", "é"]], "Running"),
    post("instances/event-names/raiseEvent/a%20b", b"1"),
    post("instances/event-names/raiseEvent/%C3%A9", b"2"),
    until("event-names", "Completed"),
    *shown("event-names"),
]

STATES = ("Pending", "Running", "ContinuedAsNew", "Suspended", "Completed", "Failed", "Terminated", "Canceled")
OPERATIONS = {
    "terminate": "/terminate?reason=enough",
    "suspend": "/suspend?reason=pause",
    "resume": "/resume?reason=again",
    "event": "/raiseEvent/go",
    "rewind": "/rewind?reason=mended",
    "restart": "/restart?restartWithNewInstanceId=false",
    "restart-new": "/restart",
    "purge": "",
    "again": "",
}


def _operation(instance_id: str, name: str) -> Call:
    if name == "purge":
        return delete(f"instances/{instance_id}")
    if name == "again":
        return start(f"script/{instance_id}")
    return post(f"instances/{instance_id}{OPERATIONS[name]}", "went" if name == "event" else None)


# A planted record has no history, which a rewind needs.
IN_STATES = [(state, name) for state in STATES for name in OPERATIONS if (state, name) != ("Failed", "rewind")]
IN_EVERY_STATE: list[Step] = [
    *started("template", DONE, "Completed"),
    *(Plant(instance_id=f"{state}-{name}", status=state, like="template") for state, name in IN_STATES),
    *(Plant(instance_id=f"{state}-status", status=state, like="template") for state in STATES),
    *(_operation(f"{state}-{name}", name) for state, name in IN_STATES),
    *(get(f"instances/{state}-status?returnInternalServerErrorOnFailure=true&showInput=false") for state in STATES),
    *(_operation("nobody", name) for name in OPERATIONS if name != "again"),
]

TERMINATED: list[Step] = [
    step
    for name, query in (
        ("plainly", ""),
        ("empty", "?reason="),
        ("text", "?reason=a+b"),
        ("json", "?reason=%7B%22a%22:1%7D"),
        ("number", "?reason=5+retries+left"),
        ("quoted", "?reason=%22a%22"),
        ("nan", "?reason=NaN"),
        ("broken", "?reason=%5B1,"),
    )
    for step in (
        *started(f"ended-{name}", WAITING, "Running"),
        post(f"instances/ended-{name}/terminate{query}"),
        until(f"ended-{name}", "Terminated"),
        *shown(f"ended-{name}"),
    )
]

SUSPENDED: list[Step] = [
    *started("paused", WAITING, "Running"),
    post("instances/paused/suspend?reason=a%20pause"),
    until("paused", "Suspended"),
    *shown("paused"),
    post("instances/paused/suspend?reason=again"),
    post("instances/paused/resume?reason=go%20on"),
    until("paused", "Running"),
    *shown("paused"),
    post("instances/paused/resume?reason=again"),
    post("instances/paused/suspend"),
    until("paused", "Suspended"),
    *shown("paused"),
    post("instances/paused/resume"),
    until("paused", "Running"),
    *shown("paused"),
    post("instances/paused/raiseEvent/go", b"1"),
    until("paused", "Completed"),
    *shown("paused"),
    *started("paused-with-event", WAITING, "Running"),
    post("instances/paused-with-event/suspend"),
    until("paused-with-event", "Suspended"),
    post("instances/paused-with-event/raiseEvent/go", b"1"),
    post("instances/paused-with-event/resume"),
    until("paused-with-event", "Completed"),
    *shown("paused-with-event"),
    *started("paused-plainly", WAITING, "Running"),
    post("instances/paused-plainly/suspend"),
    until("paused-plainly", "Suspended"),
    *shown("paused-plainly"),
    post("instances/paused-plainly/terminate?reason=enough"),
    until("paused-plainly", "Terminated"),
    *shown("paused-plainly"),
]

REPEATED: list[Step] = [
    *started("rewound", [["activity", "echo", 1], ["fail", "on purpose"]], "Failed"),
    post("instances/rewound/rewind?reason=mended"),
    *started("rewound-plainly", FAILED, "Failed"),
    post("instances/rewound-plainly/rewind"),
    *started("restarted", DONE, "Completed"),
    post("instances/restarted/restart?restartWithNewInstanceId=false"),
    until("restarted", "Completed"),
    *shown("restarted"),
    post("instances/restarted/restart?restartWithNewInstanceId=nonsense"),
    *started("restarted", DONE, "Completed"),
    *shown("restarted"),
]

LONG_AGO = {"CreatedTime": datetime(2001, 2, 3, tzinfo=timezone.utc)}
WINDOW = "createdTimeFrom=2001-01-01&createdTimeTo=2001-12-31"
PURGED_STATES = ("Completed", "Failed", "Terminated", "Running", "Pending")


def _planted(prefix: str) -> list[Step]:
    return [
        Plant(instance_id=f"{prefix}-{state}", status=state, like="purged", columns=LONG_AGO) for state in PURGED_STATES
    ]


def _left(prefix: str) -> list[Step]:
    return [get(f"instances?instanceIdPrefix={prefix}-&showInput=false")]


PURGED: list[Step] = [
    *started("purged", DONE, "Completed"),
    *_planted("old"),
    delete("instances"),
    delete("instances?createdTimeFrom=nonsense"),
    delete("instances?createdTimeFrom=2999-01-01"),
    delete("instances?createdTimeFrom=2999-01-01&createdTimeTo=nonsense"),
    delete("instances?createdTimeFrom=0001-01-01&createdTimeTo=0001-01-02"),
    delete(f"instances?{WINDOW}&runtimeStatus=Canceled"),
    delete(f"instances?{WINDOW}&runtimeStatus=Failed"),
    delete(f"instances?{WINDOW}&runtimeStatus=Terminated,Canceled"),
    delete(f"instances?{WINDOW}&runtimeStatus=Running"),
    *_left("old"),
    delete(f"instances?{WINDOW}&runtimeStatus=Nonsense"),
    *_left("old"),
    *_planted("older"),
    delete(f"instances?{WINDOW}&instanceIdPrefix=nothing-"),
    *_left("older"),
    *_planted("oldest"),
    delete(f"instances?{WINDOW}"),
    *_left("oldest"),
]

PATHS: list[Step] = [
    *(
        get(path)
        for path in (
            "", "nothing", "orchestrators", "orchestrators/script", "instances/a/b", "instances/a/b/c",
            "INSTANCES/nobody", "instances//nobody", "instances/nobody/raiseEvent/go", "makeprimary",
            "instances/nobody?taskHub=Other", "instances/nobody?connection=Other",
            "instances/nobody?taskHub=&connection=", "instances/nobody?connection=Storage",
        )
    ),
    *(Call(method=verb, path="instances/nobody") for verb in ("PUT", "PATCH", "POST", "HEAD", "OPTIONS")),
    *(Call(method=verb, path="instances") for verb in ("PUT", "POST")),
    *(Call(method=verb, path="instances/nobody/terminate") for verb in ("GET", "DELETE", "PUT")),
    *(post(path) for path in ("makeprimary", "instances/nobody/nothing")),
]  # fmt: skip

GROUPS = {
    "starts": STARTS,
    "status": STATUS,
    "list": LIST,
    "events": EVENTS,
    "every state": IN_EVERY_STATE,
    "terminated": TERMINATED,
    "suspended": SUSPENDED,
    "repeated": REPEATED,
    "purged": PURGED,
    "children": CHILDREN,
    "work": WORK,
    # One after the other: there are listings of all entities among the first.
    "entities": [*ENTITIES, *ODD_ENTITIES],
    "paths": PATHS,
    **ODD_GROUPS,
    **FURTHER_GROUPS,
}
