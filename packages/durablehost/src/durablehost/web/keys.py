"""The admin routes that list, add, replace and remove keys. They need the master key.

Mirrors KeysController of the Functions host. Apart from the links, no other answers contain keys.
"""

from __future__ import annotations

import json

from aiohttp import web

from durablehost.app.model import FunctionApp
from durablehost.keys.key_store import KeyScope, KeyStore
from durablehost.large_text import call_on_text
from durablehost.types import JsonValue
from durablehost.web.answer import empty, json_answer
from durablehost.web.request import EdgeRequest

MASTER = "_master"

_SCOPES = {"keys": KeyScope.HOST, "functionkeys": KeyScope.HOST, "systemkeys": KeyScope.SYSTEM}


class KeysApi:
    """Serves the routes below `/admin/host/keys`, its two siblings, and `/admin/functions/{name}/keys`."""

    def __init__(self, store: KeyStore, app: FunctionApp) -> None:
        self._store = store
        self._functions = frozenset(function.name.lower() for function in app.functions)

    async def handle(self, request: EdgeRequest, parts: list[str]) -> web.Response | None:
        """`parts` is the path below `/admin`; None if it is not a route of keys."""
        match [parts[0].lower(), *parts[1:]]:
            case ["host", scope, *name] if scope.lower() in _SCOPES and len(name) < 2:
                return await self._answer(request, _SCOPES[scope.lower()], *name)
            case ["functions", function, keys, *name] if keys.lower() == "keys" and len(name) < 2:
                if function.lower() not in self._functions:
                    return empty(404)
                return await self._answer(request, function, *name)
        return None

    async def _answer(self, request: EdgeRequest, scope: KeyScope | str, name: str = "") -> web.Response:
        match request.method:
            case "GET":
                return self._all(request, scope) if not name else self._one(request, scope, name)
            case "POST" if name:
                return self._put(request, scope, name, None)
            case "PUT" if name:
                value = await call_on_text(_value_in, await request.read())
                return self._put(request, scope, name, value) if value else _refused("Invalid key value")
            case "DELETE" if name:
                return self._remove(scope, name)
        return empty(404)

    def _all(self, request: EdgeRequest, scope: KeyScope | str) -> web.Response:
        keys: JsonValue = [{"name": name, "value": key} for name, key in self._store.named(scope).items()]
        return json_answer({"keys": keys, "links": _links(request)})

    def _one(self, request: EdgeRequest, scope: KeyScope | str, name: str) -> web.Response:
        known = {each.lower(): key for each, key in self._store.named(scope).items()}
        if scope is KeyScope.SYSTEM:
            known[MASTER] = self._store.current.master
        key = known.get(name.lower())
        return _key_answer(request, name, key) if key else empty(404)

    def _put(self, request: EdgeRequest, scope: KeyScope | str, name: str, value: str | None) -> web.Response:
        if isinstance(scope, KeyScope) and name.lower() == MASTER:
            return _key_answer(request, name, self._store.set_master(value), is_new=value is None)
        key, is_new = self._store.put(scope, name, value)
        return _key_answer(request, name, key, is_new=is_new)

    def _remove(self, scope: KeyScope | str, name: str) -> web.Response:
        if name.lower() == MASTER:
            return _refused("Cannot delete System Key.")
        return empty(204 if self._store.remove(scope, name) else 404)


def _key_answer(request: EdgeRequest, name: str, key: str, *, is_new: bool = False) -> web.Response:
    document: JsonValue = {"name": name, "value": key, "links": _links(request)}
    headers = {"Location": _address(request)} if is_new else None
    return json_answer(document, status=201 if is_new else 200, headers=headers)


def _links(request: EdgeRequest) -> JsonValue:
    return [{"rel": "self", "href": _address(request)}]


def _address(request: EdgeRequest) -> str:
    """Without the query, which may hold the master key."""
    return f"{request.origin}{request.raw_path}"


def _value_in(body: bytes) -> str | None:
    """The `value` of `{"name": ..., "value": ...}`; None if it cannot be a key."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = document.get("value") if isinstance(document, dict) else None
    return value if isinstance(value, str) and value.strip() else None


def _refused(reason: str) -> web.Response:
    return web.Response(status=400, text=reason)
