"""Every route of app and host, the source of the hostile requests: kept by hand, and compared with the code by a test.

`{id}`, `{event}` and the like stand for one part of the path, `{rest}` for any number of them.
"""

from __future__ import annotations

from dataclasses import dataclass

WEBHOOKS = "/runtime/webhooks/durabletask"
RPC = "/durabletask"


@dataclass(frozen=True, kw_only=True)
class Route:
    """`query` has the names that the route knows; `body` is the kind of body that it reads."""

    verb: str
    path: str
    query: tuple[str, ...] = ()
    body: str = "none"


_REASON = ("reason",)
_START = ("version", "timeout", "pollingInterval")
_FILTER = ("createdTimeFrom", "createdTimeTo", "runtimeStatus", "instanceIdPrefix", "top", "showInput")
_STATUS = ("showInput", "showHistory", "showHistoryOutput", "returnInternalServerErrorOnFailure")
_ENTITIES = ("lastOperationTimeFrom", "lastOperationTimeTo", "fetchState", "top")

# These routes are below both bases.
MANAGEMENT = (
    Route(verb="POST", path="/orchestrators/{function}", query=_START, body="json"),
    Route(verb="POST", path="/orchestrators/{function}/{id}", query=_START, body="json"),
    Route(verb="GET", path="/instances", query=_FILTER),
    Route(verb="DELETE", path="/instances", query=_FILTER),
    Route(verb="GET", path="/instances/{id}", query=_STATUS),
    Route(verb="DELETE", path="/instances/{id}"),
    Route(verb="POST", path="/instances/{id}/terminate", query=_REASON),
    Route(verb="POST", path="/instances/{id}/rewind", query=_REASON),
    Route(verb="POST", path="/instances/{id}/restart", query=("restartWithNewInstanceId", *_START)),
    Route(verb="POST", path="/instances/{id}/suspend", query=_REASON),
    Route(verb="POST", path="/instances/{id}/resume", query=_REASON),
    Route(verb="POST", path="/instances/{id}/raiseEvent/{event}", body="json"),
    Route(verb="GET", path="/entities", query=_ENTITIES),
    Route(verb="GET", path="/entities/{entity}", query=_ENTITIES),
    Route(verb="GET", path="/entities/{entity}/{key}"),
    Route(verb="POST", path="/entities/{entity}/{key}", query=("op",), body="json"),
    Route(verb="DELETE", path="/entities/{entity}/{key}"),
    *(Route(verb=verb, path="/makeprimary") for verb in ("GET", "PUT", "POST", "DELETE", "OPTIONS")),
)

ADMIN = (
    Route(verb="GET", path="/admin/host/status"),
    Route(verb="GET", path="/admin/host/ping"),
    Route(verb="POST", path="/admin/host/ping"),
    Route(verb="GET", path="/admin/warmup"),
    Route(verb="GET", path="/admin/functions"),
    Route(verb="GET", path="/admin/functions/{function}"),
    Route(verb="GET", path="/admin/functions/{function}/status"),
    Route(verb="POST", path="/admin/functions/{function}", body="input"),
)

# Without `changes`, which never ends.
CONSOLE = (
    Route(verb="GET", path="/console"),
    Route(verb="GET", path="/console/{rest}"),
    Route(verb="GET", path="/console/api/hub"),
    Route(verb="GET", path="/console/api/instances", query=(*_FILTER, "name", "continuation")),
    Route(verb="GET", path="/console/api/counts", query=(*_FILTER, "name")),
    Route(verb="GET", path="/console/api/entities", query=("name", "continuation")),
    Route(verb="GET", path="/console/api/entities/{id}"),
    Route(verb="GET", path="/console/api/instances/{id}"),
    Route(verb="GET", path="/console/api/instances/{id}/explanation"),
    Route(verb="GET", path="/console/api/instances/{id}/history"),
    Route(verb="GET", path="/console/api/instances/{id}/history/{rest}"),
)

APP = (
    Route(verb="POST", path="/api/starter_function", body="run"),
    Route(verb="POST", path="/api/test_activity_function", body="chunk"),
    Route(verb="GET", path="/api/whereabouts"),
    Route(verb="PUT", path="/api/echo/{rest}", query=("a", "b"), body="json"),
)

PUBLIC = (
    *(Route(verb=each.verb, path=WEBHOOKS + each.path, query=each.query, body=each.body) for each in MANAGEMENT),
    *ADMIN,
    *CONSOLE,
    *APP,
    Route(verb="GET", path="/"),
    Route(verb="GET", path="/runtime/webhooks/{rest}"),
    Route(verb="GET", path="/{rest}"),
)
LOOPBACK = (
    *(Route(verb=each.verb, path=RPC + each.path, query=each.query, body=each.body) for each in MANAGEMENT),
    Route(verb="GET", path="/{rest}"),
)
