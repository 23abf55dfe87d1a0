"""Hostile requests, each for one route: mistakes and attacks of clients in every part of a request.

Rule of this file: valid requests are small. A request may fail in any way, but none requests legitimately slow
work: many chunks, wide windows, a long wait.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import quote

from hypothesis import strategies as st

from packages.durablehost.tests.hostile.conftest import KNOWN_IDS
from packages.durablehost.tests.hostile.routes import Route

_FUNCTIONS = (
    "orchestrator_function", "waiting", "process_chunk_activity", "starter_function", "counter", "echo", "WAITING"
)  # fmt: skip
_TIMES = ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "2026-13-01", "now", "-1")


class Request:
    """One request as bytes, and the parts that determine the expected answer."""

    def __init__(self, verb: str, target: str, data: bytes) -> None:
        self.verb, self.target, self.data = verb, target, data

    def __repr__(self) -> str:
        return f"<{self.verb} {self.target[:500]}, {len(self.data)} bytes: {self.data[:1000]!r}>"


# Characters of paths, queries and JSON strings: control characters, NUL, right to left, half pairs, outer planes.
_ODD_TEXT = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(min_codepoint=0, max_codepoint=0x9F), max_size=20),
    st.text(st.sampled_from("/\\#?%&;+=@:.~\"'<>{}[] \t\r\n\0"), min_size=1, max_size=12),
    st.sampled_from(
        ["..", "../../../etc/passwd", "%2e%2e%2f", "\u202egnp.exe", "\ufeff", "\u0000", "a" * 256, "a" * 257, "é" * 256,
         "\U0001f9e8" * 128, "$", "@", "@counter@one", "@@", "null", "' or 1 eq 1 or '", "${7*7}", "%00", "%ff%fe",
         "{id}", "INSTANCEID", " ", "-", "00000000-0000-0000-0000-000000000000"]
    ),
    # The longest do not fit into a request line of the public port, but into one of the RPC base.
    st.tuples(st.sampled_from("ab/\\#?%\0é\u202e"), st.sampled_from([300, 800, 800, 10_000])).map(
        lambda both: both[0] * both[1]
    ),
)  # fmt: skip
_RAW_PARTS = st.sampled_from(
    ["%", "%zz", "%c0%af", "%ed%a0%80", "%F4%90%80%80", "%00", "%2F", "%5c", "+", "%2B%20", ";v=1"]
)


def _path_part(name: str) -> st.SearchStrategy[str]:
    known = {
        "id": KNOWN_IDS, "function": _FUNCTIONS, "event": ("go", "Go"), "entity": ("counter", "Counter"),
        "key": ("one", "$"),
    }  # fmt: skip
    odd = st.one_of(_ODD_TEXT.map(_quoted), _RAW_PARTS)
    usual = st.sampled_from(known.get(name, ("a", "a/b", "a//b/")))
    return st.one_of(usual, usual, odd)


def _quoted(text: str, safe: str = "") -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe=safe)


def _target(route: Route) -> st.SearchStrategy[str]:
    names = re.findall(r"\{(\w+)\}", route.path)
    parts = st.fixed_dictionaries({name: _path_part(name) for name in names})
    return st.tuples(
        parts.map(lambda values: re.sub(r"\{(\w+)\}", lambda m: values[m[1]], route.path)), _query(route)
    ).map("".join)


_DURATIONS = ("timeout", "pollingInterval")
_BOUNDS: Mapping[str, st.SearchStrategy[str]] = {
    # A longer wait would be granted on request.
    **dict.fromkeys(
        _DURATIONS, st.sampled_from(["0", "0.1", "-1", "1e9", "NaN", "", "0x1", "0.30", "\u0663", "9" * 400])
    ),
    "top": st.sampled_from(["0", "1", "-1", "5000", "2147483647", "2147483648", "\u0663", "1.5", "x" * 1000]),
    "runtimeStatus": st.sampled_from(["Running", "completed,FAILED", "Unknown", ",", "Running" * 500]),
    "op": st.sampled_from(["add", "reset", "delete", "fail", "", "x" * 5000]),
}
_TIME_NAMES = ("createdTimeFrom", "createdTimeTo", "lastOperationTimeFrom", "lastOperationTimeTo")
_FLAG_NAMES = ("showInput", "showHistory", "showHistoryOutput", "fetchState", "restartWithNewInstanceId")
_VALUES: Mapping[str, st.SearchStrategy[str]] = {
    **_BOUNDS,
    **dict.fromkeys(_TIME_NAMES, st.sampled_from(_TIMES)),
    **dict.fromkeys(_FLAG_NAMES, st.sampled_from(["true", "FALSE", "1", ""])),
}


def _query(route: Route) -> st.SearchStrategy[str]:
    def pair(name: str) -> st.SearchStrategy[str]:
        known = _VALUES.get(name, st.just("")).map(_quoted)
        # A random duration could be a long wait.
        values = known if name in _DURATIONS else known | _ODD_TEXT.map(_quoted) | _RAW_PARTS
        return values.map(lambda value: f"{name}={value}")

    pairs = [pair(name) for name in (*route.query * 3, "taskHub", "connection", "code", "a")]
    return st.lists(st.one_of(pairs), max_size=4).map(lambda found: f"?{'&'.join(found)}" if found else "")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ODD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_ODD_TEXT, inner, max_size=4),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())
_BROKEN_JSON = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", b" ", b"{", b'{"a":1}x', b"\xef\xbb\xbf{}", b'"\xff"', b'"\\ud800"', b"NaN", b"-Infinity",
                     b"1e999", b"1" * 5000, b"-0", b'{"a":1,"a":2}', b'"\\u0000"', b"[1,]", b"\0", b"nul",
                     b"\xff\xfe{\0}\0"]),
    st.sampled_from([10, 500, 900, 1000, 1100, 5_000, 100_000]).map(lambda depth: b"[" * depth + b"]" * depth),
    st.sampled_from([100, 1000, 50_000]).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.sampled_from([1_000, 60_000, 300_000]).map(lambda size: b'"' + b"x" * size + b'"'),
    st.sampled_from([1_000, 40_000]).map(lambda size: json.dumps({str(n): n for n in range(size)}).encode()),
)  # fmt: skip


def _fields(valid: Mapping[str, object]) -> st.SearchStrategy[bytes]:
    """A document of an app's function with some fields replaced, left out or added."""
    # None of these makes a valid request a large one.
    odd = st.one_of(
        st.none(), st.booleans(), st.floats(allow_nan=True), st.integers(max_value=0), st.integers(min_value=10_001),
        _ODD_TEXT, st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    )  # fmt: skip
    changes = st.dictionaries(
        st.sampled_from([*valid, "instance_id", "max_failed_chunks", "READINGS", "x"]), odd, max_size=3
    )
    dropped = st.sets(st.sampled_from(sorted(valid)), max_size=1)
    return st.tuples(changes, dropped).map(
        lambda both: json.dumps({k: v for k, v in {**valid, **both[0]}.items() if k not in both[1]}).encode()
    )


_SPANS = (
    ("2025-06-17T00:00:00Z", "2025-06-17T00:00:05Z"),
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:02Z"),
    ("9999-12-31T23:59:58Z", "9999-12-31T23:59:59.999999Z"),
)
_RUNS = st.sampled_from(_SPANS).flatmap(
    lambda span: _fields(
        {"start": span[0], "end": span[1], "total_chunks": 2, "time": span[1], "instance_id": "known-0"}
    )
)
_CHUNKS = st.sampled_from(_SPANS).flatmap(
    lambda span: _fields({"chunk_id": 1, "start": span[0], "end": span[1], "total_chunks": 2, "time": span[0]})
)
_INPUTS = st.one_of(_RUNS, _CHUNKS).map(lambda body: json.dumps({"input": body.decode()}).encode())
_BODIES = {
    "none": st.just(b"") | _BROKEN_JSON,
    "json": _JSON | _BROKEN_JSON | _RUNS,
    "input": _INPUTS | _JSON.map(lambda text: b'{"input": %s}' % text) | _BROKEN_JSON,
    "run": _RUNS | _RUNS | _JSON | _BROKEN_JSON,
    "chunk": _CHUNKS | _CHUNKS | _JSON | _BROKEN_JSON,
}

_HEADER_VALUES = st.one_of(
    st.binary(max_size=60).map(lambda data: bytes(b for b in data if b == 9 or 0x20 <= b != 0x7F)),
    st.sampled_from(
        [b"application/json", b"application/json; charset=\xff", b"text/plain", b"*", b"a" * 8000, b"\xff\xfe", b"null"]
    ),
)
_HEADER_NAMES = st.sampled_from(
    [b"Content-Type", b"x-ms-continuation-token", b"x-functions-key", b"Accept", b"Origin", b"Sec-Fetch-Site",
     b"Cookie", b"X-Forwarded-Host", b"X-HTTP-Method-Override", b"Range", b"If-Match", b"Expect", b"Referer",
     b"Content-Encoding", b"Accept-Encoding", b"Forwarded", b"Via", b"Authorization", b"Upgrade", b"TE"]
)  # fmt: skip
_HEADERS = st.lists(st.tuples(_HEADER_NAMES, _HEADER_VALUES), max_size=4)
_USUAL_HOSTS = [b"localhost", b"127.0.0.1:7071", b"[::1]"]
_ODD_HOSTS = [b"evil.test", b"a'b", b"\xff", b"", b"[", b"x" * 300]
# Mostly usual ones, because a request with a refused host is not examined further.
_HOSTS = st.sampled_from(_USUAL_HOSTS * 8 + _ODD_HOSTS)
_OTHER_VERBS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW")


@st.composite
def requests(draw: st.DrawFn, routes: tuple[Route, ...]) -> Request:
    route = draw(st.sampled_from(routes))
    verb = draw(st.one_of(st.just(route.verb), st.just(route.verb), st.sampled_from(_OTHER_VERBS)))
    target, body = draw(_target(route)), draw(_BODIES[route.body])
    headers = [(b"Host", draw(_HOSTS)), *draw(_HEADERS)]
    if route.body != "none" and draw(st.booleans()):
        headers.append((b"Content-Type", b"application/json"))
    framing = (b"Transfer-Encoding", b"chunked") if draw(st.booleans()) else (b"Content-Length", b"%d" % len(body))
    content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if framing[1] == b"chunked" and body else body
    if framing[1] == b"chunked" and not body:
        content = b"0\r\n\r\n"
    lines = [b"%s %s HTTP/1.1" % (verb.encode(), target.encode("ascii"))]
    lines += [b"%s: %s" % header for header in (*headers, framing, (b"Connection", b"close"))]
    return Request(verb, target, b"\r\n".join([*lines, b"", content]))
