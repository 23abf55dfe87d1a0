"""Answers in a form that does not depend on the run: ids, times, hosts, ports and traces become words."""

from __future__ import annotations

import json
import re
from typing import Any

from packages.durablehost.tests.e2e.host_process import Answer

TOKEN_HEADER = "x-ms-continuation-token"
HEADERS = ("Content-Type", "Location", "Retry-After", TOKEN_HEADER)

# In this order.
_WORDS = (
    (re.compile(r"http://(localhost|127\.0\.0\.1):\d+/runtime/webhooks/durabletask"), "BASE"),
    (re.compile(r"(?<=[?&])code=[^&]*&|[?&]code=[^&]*$"), ""),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}"), "ID"),
    (re.compile(r"taskHub=HUB&connection=Storage"), "QUERY"),
    (re.compile(r"(.{1,9}?)\1{99,}"), r"\1..."),
    # The frames of .NET and of Python, whose line ends are escaped within JSON.
    (re.compile(r"(^|\r?\n| StackTrace: ) +at [A-Z][\w.]+[.(][\s\S]*"), "TRACE"),
    # How many of them the JSON of an exception has depends on what has been optimised so far.
    (re.compile(r'(StackTraceString\\*":\\*") +at [^"]*?(?=\\*")'), r"\1TRACE"),
    (re.compile(r" StackTrace: +File \"[\s\S]*"), "TRACE"),
    (re.compile(r"(Traceback \(most recent call last\):)((\n|\\+n) +((?!\n|\\+n).)*)+"), r"\1 FRAMES"),
)


def plain_answer(answer: Answer, *, hub_name: str) -> dict[str, Any]:
    """Status, the headers that matter, and the body."""
    return {
        "status": answer.status,
        "headers": {
            name: "TOKEN" if name == TOKEN_HEADER else _plain(text, hub_name)
            for name in HEADERS
            if (text := answer.headers.get(name))
        },
        "body": _plain(_document(answer.body), hub_name),
    }


def _document(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return {"text": body.decode("utf-8", "replace")}


def _plain(value: Any, hub_name: str) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member, hub_name) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item, hub_name) for item in value]
    return _plain_text(value.replace(hub_name, "HUB")) if isinstance(value, str) else value


def _plain_text(text: str) -> str:
    for pattern, word in _WORDS:
        text = pattern.sub(word, text)
    return text
