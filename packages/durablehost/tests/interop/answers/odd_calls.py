"""Calls with odd values, bodies, parameters, methods and paths."""

from __future__ import annotations

from dataclasses import replace

from packages.durablehost.tests.interop.answers.programs import (
    DONE,
    FAILED,
    HISTORY,
    WAITING,
    begun,
    shown,
    start,
    started,
    until,
)
from packages.durablehost.tests.interop.answers.steps import Call, Step, delete, get, post

# As text, since the form matters.
VALUES = {
    "whole": b"1.0", "fraction": b"1.50", "power": b"1E2", "small": b"1e-7", "large": b"1e300",
    "int64": b"9223372036854775807",
    "beyond": b"9223372036854775808", "negative": b"-0", "negative-fraction": b"-0.0",
    "digits": b"0.1234567890123456789",
    "zero": b"0", "false": b"false", "null": b"null", "empty": b'""', "list": b"[]", "object": b"{}",
    "text-null": b'"null"', "text-number": b'"5"', "text-object": b'"{}"',
    "escapes": b'"\\u00e9 \\u2028 \\/ \\b \\u007f"',
    "pair": b'"\\ud83d\\ude00"', "html": b'"<a href=\'x\'>&+"', "day": b'"2026-01-02"', "clock": b'"12:00:00"',
    "ticks": b'"/Date(1700000000000)/"', "type": b'{"$type": "System.String", "a": 1}',
    "order": b'{"b": 1, "a" : {"d":2,"c":3}}', "reference": b'{"$id": "1", "$ref": "1"}',
}  # fmt: skip
ODD_VALUES: list[Step] = [
    step
    for name, text in VALUES.items()
    for step in (
        replace(post(f"orchestrators/echoed/value-{name}", b'{"v": %s}' % text), is_compared=False),
        until(f"value-{name}", "Completed"),
        get(f"instances/value-{name}?{HISTORY}"),
    )
]
ODD_STATUSES: list[Step] = [
    step
    for name, text in VALUES.items()
    for step in (
        replace(
            post(f"orchestrators/script/status-{name}", b'{"steps": [["status", %s]], "results": []}' % text),
            is_compared=False,
        ),
        until(f"status-{name}", "Completed"),
        get(f"instances/status-{name}?showInput=false"),
    )
]

EVENT_BODIES = {
    **VALUES, "twice": b'{"a": 1, "a": 2}', "comment": b"1 /* one */", "comma": b"[1,]", "octal": b"010",
    "hex": b"0x10",
    "capital": b"True", "undefined": b"undefined", "marked": b"\xef\xbb\xbf1", "spaced": b" 1 ", "latin": b'"\xe9"',
    "infinity": b"Infinity", "bare": b"abc", "break": b'"a\nb"', "constructor": b"new Date(1)",
}  # fmt: skip
EVENT_TYPES = (
    "application/JSON;charset=UTF-8", "application/json;odata=verbose", "text/json",
    "application/x-www-form-urlencoded",
    "application/xml", "*/*", "nonsense",
)  # fmt: skip
ODD_EVENTS: list[Step] = [
    *started("odd-events", [["event", "go"], ["event", "a/b"], ["event", " "], ["event", "100%"]], "Running"),
    *(post("instances/odd-events/raiseEvent/other", b"1", content_type) for content_type in EVENT_TYPES),
    post("instances/odd-events/raiseEvent/go", b"1"),
    post("instances/odd-events/raiseEvent/a%2Fb", b"2"),
    post("instances/odd-events/raiseEvent/%20", b"3"),
    post("instances/odd-events/raiseEvent/100%25", b"4"),
    *(
        step
        for name, text in EVENT_BODIES.items()
        for step in (
            begun(f"event-{name}", WAITING),
            until(f"event-{name}", "Running"),
            post(f"instances/event-{name}/raiseEvent/go", text),
        )
    ),
    *(step for name in VALUES for step in (until(f"event-{name}", "Completed"), get(f"instances/event-{name}"))),
]

WAITS = (
    "timeout=abc", "timeout=-1", "timeout=0", "timeout=", "timeout=30&pollingInterval=0",
    "timeout=30&pollingInterval=x", "pollingInterval=1", "timeout=30&pollingInterval=0.1&showHistory=true",
    "timeout=1e999",
    "timeout=30&pollingInterval=0.1&returnInternalServerErrorOnFailure=true", "TIMEOUT=30&POLLINGINTERVAL=0.1",
    "timeout=30&pollingInterval=0.1&showInput=false", "timeout=30&timeout=20&pollingInterval=0.1",
)  # fmt: skip
WAITED: list[Step] = [
    *(
        step
        for number, query in enumerate(WAITS)
        for step in (start(f"script/wait-{number}?{query}"), start(f"script/wait-failed-{number}?{query}", FAILED))
    ),
    start("script/wait-below?timeout=30&pollingInterval=-1", WAITING),
    *started("wait-restarted", FAILED, "Failed"),
    post("instances/wait-restarted/restart?restartWithNewInstanceId=false&timeout=30&pollingInterval=0.1"),
]

QUERIES = (
    "showInput=0", "showInput=", "showInput=true&showInput=false", "SHOWINPUT=false",
    "showHistory=true&showHistory=false",
    "showHistory=false&showHistoryOutput=true", "showHistory=true&showHistoryOutput=1", "showhistory=true",
    "showHistory=true&showHistoryOutput=false", "showHistory=true&showHistoryOutput=true&showInput=false",
    "showHistory=%20true", "returnInternalServerErrorOnFailure=TRUE", "returnInternalServerErrorOnFailure=1",
    "returnInternalServerErrorOnFailure=yes", "returnInternalServerErrorOnFailure=", "nonsense=1", "instanceIdPrefix=x",
    "returnInternalServerErrorOnFailure=true&showHistory=true",
    "showInput=false&returnInternalServerErrorOnFailure=true",
)  # fmt: skip
QUERIED: list[Step] = [
    *started("queried", DONE, "Completed"),
    *started("queried-failed", FAILED, "Failed"),
    *(get(f"instances/{name}?{query}") for query in QUERIES for name in ("queried", "queried-failed")),
]

LISTS = (
    "top=99999999999", "top=2147483647", "top=%201", "top=%2B1", "top=01", "top=1&top=2", "top=", "top=1001",
    "showInput=false&showHistoryOutput=true", "showInput=0", "runtimeStatus=Completed,", "runtimeStatus=,",
    "runtimeStatus=%20Completed", "runtimeStatus=Completed,%20Failed", "runtimeStatus=1", "runtimeStatus=0",
    "createdTimeFrom=", "createdTimeTo=", "createdTimeFrom=2000", "createdTimeFrom=1/2/2000",
    "createdTimeFrom=2000-01-01T10:00",
    "createdTimeFrom=2000-01-01%2010:00:00", "createdTimeFrom=2000-02-30",
    "createdTimeTo=2999-01-01",
    "createdTimeFrom=2999-01-01&createdTimeTo=2000-01-01", "returnInternalServerErrorOnFailure=true", "nonsense=1",
)  # fmt: skip
LISTED: list[Step] = [
    *(step for name in "abc" for step in started(f"listed-{name}", DONE, "Completed")),
    *(get(f"instances?instanceIdPrefix=listed-{name}&{query}") for query in LISTS for name in ("", "c")),
    *(get(f"instances?instanceIdPrefix={prefix}") for prefix in ("LISTED-", "listed-%25", "listed-%27", "listed-%2F")),
    get("instances?instanceIdPrefix=listed-&top=1", keeps_token=True),
    get("instances?instanceIdPrefix=listed-&top=1", sends_token=True, keeps_token=True),
    get("instances?instanceIdPrefix=listed-&top=1", sends_token=True),
    *(
        replace(get("instances?instanceIdPrefix=listed-&top=1"), token=text)
        for text in ("nonsense", "e30=", "bnVsbA==")
    ),
]

LEFT_ALONE: list[Step] = [
    begun("ended-parent", [["child", WAITING, "left-child"]]),
    until("left-child", "Running"),
    post("instances/ended-parent/terminate?reason=enough"),
    until("ended-parent", "Terminated"),
    *shown("ended-parent"),
    get("instances/left-child"),
    delete("instances/ended-parent"),
    get("instances/left-child"),
    post("instances/left-child/raiseEvent/go", b"1"),
    until("left-child", "Completed"),
    *shown("left-child"),
    post("instances/left-child/restart?restartWithNewInstanceId=false"),
    until("left-child", "Running"),
    post("instances/left-child/restart?restartWithNewInstanceId=false"),
    post("instances/left-child/restart?restartWithNewInstanceId=FALSE&reason=x"),
    *shown("left-child"),
]

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")
ODD_PATHS: list[Step] = [
    *started("path", WAITING, "Running"),
    *(
        Call(method=method, path=path)
        for path in (
            "orchestrators/script", "entities/Counter/nobody", "instances/path/suspend",
            "instances/path/resume", "instances/path/rewind", "instances/path/restart", "instances/path/raiseEvent/x",
        )
        for method in METHODS
    ),
    *(
        get(path)
        for path in (
            "instances/%70ath", "Instances/path", "instances/PATH", "instances/path%2Fx", "instances/path%252Fx",
            "instances/path%20", "instances/%20path", "instances/path%00", "instances/path%0A", "instances/path;x",
            "instances/path%3Fx", "instances/path%23x", "instances/path%5Cx", "instances/path/", "instances/./path",
            "instances/x/../path", "/instances/path", "instances/%FF", "instances/path%zz", "entities/Counter/a%2Fb",
            "instances/path/unknown", "instances/path/suspend", "entities/Counter/x/y",
        )
    ),
    post("Instances/path/Suspend?reason=x"),
    until("path", "Suspended"),
    post("instances/path/RESUME?reason=x"),
    until("path", "Running"),
    *(
        post(path)
        for path in (
            "instances/path%2Fsuspend", "instances%2Fpath/suspend", "instances/path/suspend/x", "instances/path/",
            "instances/path/terminate/x", "Orchestrators/script/x/y/z", "ORCHESTRATORS/echoed/cased",
            "instances/%20/suspend",
        )
    ),
]  # fmt: skip

STATES = {**VALUES, "none": None}
ODD_ENTITIES: list[Step] = [
    *(post(f"entities/Counter/state-{name}?op=set", text) for name, text in STATES.items()),
    *started("states", [["together", *(["call", f"state-{name}", "get", None] for name in STATES)]], "Completed"),
    get(f"instances/states?{HISTORY}&showInput=false"),
    *(get(f"entities/Counter/state-{name}") for name in STATES),
    post("entities/Counter/odd?op=", b"1"),
    post("entities/Counter/odd?op=a%20b", b"1"),
    post("entities/Counter/odd?OP=add", b"1"),
    post("entities/Counter/odd?op=add&op=set", b"1"),
    post("entities/Counter/odd%20key?op=add", b"1"),
    post("entities/Counter/odd%2Fkey?op=add", b"1"),
    post("entities/Counter/@x@y?op=add", b"1"),
    *(
        get(f"entities/Counter?{query}")
        for query in (
            "lastOperationTimeFrom=2999-01-01", "lastOperationTimeTo=2000-01-01&fetchState=1", "fetchState=x&top=0",
            "lastOperationTimeFrom=2999-01-01&fetchState=TRUE",
        )
    ),
]  # fmt: skip

ODD_GROUPS = {
    "odd values": ODD_VALUES,
    "odd statuses": ODD_STATUSES,
    "odd events": ODD_EVENTS,
    "waited": WAITED,
    "queried": QUERIED,
    "listed": LISTED,
    "left alone": LEFT_ALONE,
    "odd paths": ODD_PATHS,
}
