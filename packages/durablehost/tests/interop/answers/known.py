"""The differences between the answers of durablehost and of the real engine that are known and accepted.

`docs/differences.md` explains each of them, in a row of a table that begins with the topic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Known:
    """In these calls, at these places of the answers; `*` stands for any text.

    A call is the name of its group and its label, a place the path of a member, such as `body.Message`.
    """

    topic: str
    calls: tuple[str, ...]
    places: tuple[str, ...] = ("*",)

    def covers(self, call: str, place: str) -> bool:
        return any(_matches(each, call) for each in self.calls) and any(_matches(each, place) for each in self.places)


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL) is not None


_ERROR = ("status", "headers.Content-Type", "body", "body.Message", "body.Exception*")
_EXCEPTION = ("body.ExceptionMessage", "body.ExceptionType")
_ECHOED = "starts: POST orchestrators/echoed"
_SHOWN = "starts: GET instances"

_READ_BY_NET = (
    "comment", "comma", "octal", "hex", "undefined", "latin", "infinity", "break", "constructor",
)  # fmt: skip

HTTP_API = (
    Known(topic="stack traces in errors", calls=("*",), places=("body.StackTrace",)),
    Known(topic="errors with `Message` only", calls=("every state: POST orchestrators/*-again *",), places=_EXCEPTION),
    Known(topic="errors with `Message` only", calls=("starts: POST *waited-wrong*",), places=_EXCEPTION),
    Known(topic="a body that is not JSON", calls=(f"{_ECHOED}/body-10 *",), places=_ERROR),
    Known(
        topic="a body that is not JSON",
        calls=(f"{_ECHOED}/body-12 *", f"{_ECHOED}/body-14 *", "events: POST instances/events/raiseEvent/other*"),
        places=_EXCEPTION,
    ),
    Known(
        topic="a body that is not JSON",
        calls=("entities: POST entities/Counter/one?op=add {",),
        places=("body.Message",),
    ),
    Known(
        topic="`NaN`, `1e400`, `'text'`, `[1,]` and comments in a body",
        calls=tuple(f"starts: *body-{number}*" for number in (11, 17, 18)),
    ),
    Known(topic="`NaN`, `1e400`, `'text'`, `[1,]` and comments in a body", calls=("events: POST *other NaN",)),
    Known(
        topic="a body that is not JSON",
        calls=("odd events: POST instances/event-capital/*", "odd events: POST instances/event-bare/*"),
        places=_EXCEPTION,
    ),
    Known(
        topic="`NaN`, `1e400`, `'text'`, `[1,]` and comments in a body",
        calls=tuple(f"odd events: POST instances/event-{name}/*" for name in _READ_BY_NET),
    ),
    Known(topic="a body of blanks", calls=(f"{_SHOWN}/body-9?*", "odd keys: POST *spaced?op=set *")),
    Known(
        topic="a body that is not JSON",
        calls=tuple(f"encoded: POST *encoded-*{number}*charset=*" for number in (1, 3, 5)),
        places=_EXCEPTION,
    ),
    Known(
        topic="`NaN`, `1e400`, `'text'`, `[1,]` and comments in a body",
        calls=("encoded: * instances/encoded-6/*", "encoded: * *encoded-start-6*"),
    ),
    Known(topic="a charset that does not exist", calls=("encoded: POST *charset=nonsense*",), places=_ERROR),
    Known(topic="a method in lower case, or of no known name", calls=("odd methods: *",)),
    Known(
        topic="escapes in the id of a link", calls=("starts: POST *a%20b*",), places=("headers.Location", "body.*Uri")
    ),
    Known(topic="`+` in a path", calls=("starts: POST *plus+plus*",), places=("headers.Location", "body.*")),
    Known(
        topic="`%2F` in a path",
        calls=("odd events: POST *a%2Fb*", "entities: POST *odd%2Fkey*", "odd paths: POST instances*%2F*suspend"),
    ),
    Known(topic="`%00` in a path", calls=("odd paths: GET instances/path%00",)),
    Known(
        topic="a `timeout` without an end, a `pollingInterval` below 0",
        calls=("waited: POST *timeout=1e999*", "waited: POST *pollingInterval=-1*"),
    ),
    Known(topic="start of an unknown orchestrator", calls=("starts: POST *unknown-orchestrator*",)),
    Known(
        topic="start with an id that is not allowed",
        calls=tuple(f"starts: POST *script/{each}*" for each in ("@counter@id", "a%23b", "xxx")),
    ),
    Known(topic="name of an orchestrator in another case", calls=(f"{_SHOWN}/upper",), places=("body.name",)),
    Known(topic="`runtimeStatus` in another case", calls=("list: *runtimeStatus=failed",), places=("body.*",)),
    Known(
        topic="a continuation token that belongs to no page",
        calls=tuple(f"listed: GET *&top=1 [{token}]" for token in ("nonsense", "e30=", "bnVsbA==")),
    ),
    Known(
        topic="`top=0`",
        calls=("list: *top=0", "entities: *top=0"),
        places=("headers.x-ms-continuation-token",),
    ),
    Known(
        topic="a time whose `+` is not escaped",
        calls=("timed: *createdTimeTo=2000-01-01T00:00:00+02:00",),
        places=("body.*",),
    ),
    Known(
        topic="times such as `12:00` and `1.2.2000`",
        calls=("timed: *createdTimeFrom=12:00", "timed: *createdTimeTo=1.2.2000"),
        places=("body.*",),
    ),
    Known(
        topic="`runtimeStatus=Unknown`, and numbers that no status has",
        calls=tuple(f"timed: *runtimeStatus={text}" for text in ("01", "99", "-1", "Unknown")),
    ),
    Known(topic="`top` below 0", calls=("list: *top=-1", "entities: *top=-1"), places=_ERROR),
    Known(topic="`createdTimeTo` in the year 1", calls=("list: *createdTimeTo=0001-01-01",), places=("body.length",)),
    Known(
        topic="payload text such as `5 retries left`",
        calls=("terminated: GET instances/ended-number*",),
        places=("body.output", "body.historyEvents.*.Result"),
    ),
    Known(topic="rewind of an unknown instance", calls=("every state: POST instances/nobody/rewind*",)),
    Known(
        topic="input of a restarted instance",
        calls=("repeated: GET instances/restarted?*",),
        places=("body.historyEvents.0.Input",),
    ),
    Known(
        topic="`Location` of a status",
        calls=("entities: GET instances/%40*", "odd paths: GET instances/%70ath"),
        places=("headers.Location",),
    ),
    Known(topic="restart of an entity", calls=("entities: POST instances/@counter@two/restart",)),
    Known(
        topic="wrong key of an entity",
        calls=("entities: POST entities/Counter/a%23b?op=add *",),
        places=("body.Message",),
    ),
    Known(
        topic="`$` for the empty key", calls=("entities: GET entities/Counter?fetchState=true*",), places=("body.*",)
    ),
    Known(
        topic="an entity without a state: deleted, or its first operation has failed",
        calls=("entities: GET entities/Counter/two", "odd keys: GET entities/Counter/failed"),
        places=("status", "headers.*"),
    ),
    Known(
        topic="an entity without a state: deleted, or its first operation has failed",
        calls=("entities: GET entities/Counter?fetchState=true",),
        places=("body.length",),
    ),
    Known(topic="purge of an unknown entity", calls=("entities: DELETE instances/@counter@nobody",)),
    Known(
        topic="purge by filter with a condition that cannot be read",
        calls=("purged: DELETE *createdTimeTo=nonsense", "purged: DELETE *runtimeStatus=Nonsense"),
    ),
    Known(
        topic="purge by filter without a status, or with none of a finished instance",
        calls=("purged: DELETE *runtimeStatus=Running", "purged: GET instances?instanceIdPrefix=old-*"),
    ),
    Known(
        topic="purge by filter without a status, or with none of a finished instance",
        calls=("purged: DELETE *createdTimeTo=2001-12-31", "purged: GET instances?instanceIdPrefix=oldest-*"),
        places=("body.*",),
    ),
    Known(
        topic="`instanceIdPrefix` of a purge by filter",
        calls=("purged: DELETE *instanceIdPrefix=nothing-", "purged: GET instances?instanceIdPrefix=older-*"),
    ),
    Known(
        topic="`taskHub` or `connection` of another hub",
        calls=("paths: *taskHub=Other", "paths: *connection=Other"),
        places=_ERROR,
    ),
)

IN_EXECUTION = (
    Known(
        topic="events that come before their wait",
        calls=("events: GET instances/events?*", "suspended: GET instances/paused-with-event?*"),
        places=("body.historyEvents*",),
    ),
    Known(
        topic="exceptions in details: `StackTraceString`, `Source`",
        calls=(
            "work: GET instances/failed-activity*",
            "children: GET instances/retrying-parent?*",
            "blanks: GET instances/failure-deep?*",
        ),
        places=("body.output", "body.historyEvents*"),
    ),
    Known(
        topic="texts that look like ISO dates in results, outputs and custom status",
        calls=(
            "work: GET instances/dates*",
            "odd values: GET *-ticks?*",
            "odd statuses: GET *-ticks?*",
            "odd events: GET *-ticks",
        ),
        places=("body.output.*", "body.customStatus", "body.historyEvents.1.Result.v"),
    ),
    Known(
        topic="members `$type`, `$id`, `$ref` and `$values` of a custom status or an output, outside of other members",
        calls=("odd statuses: GET instances/status-type?*", "odd statuses: GET instances/status-reference?*"),
        places=("body.customStatus*",),
    ),
    Known(
        topic="members `$type`, `$id`, `$ref` and `$values` of a custom status or an output, outside of other members",
        calls=tuple(f"odd members: GET instances/members-{name}*" for name in ("values", "id", "type")),
        places=("body.customStatus*", "body.output*"),
    ),
    Known(
        topic="an error whose text is an ISO time",
        calls=("blanks: GET instances/failure-date?*",),
        places=("body.output", "body.historyEvents.*.Result"),
    ),
)

IN_STORAGE = (
    Known(
        topic="state of a deleted entity", calls=("entities: GET instances/@counter@two",), places=("body.input.state",)
    ),
)

KNOWN = (*HTTP_API, *IN_EXECUTION, *IN_STORAGE)
