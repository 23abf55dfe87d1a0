"""Checks the key of a request against the function or the route that it calls.

Mirrors the authorization policies of the Functions host. A key comes in the header `x-functions-key`, else in the query
as `code`. Keys are compared in constant time.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator

from durablehost.app.model import Function
from durablehost.errors import RequestError
from durablehost.keys.key_store import KeyStore
from durablehost.keys.ring import KeyRing
from durablehost.web.request import EdgeRequest

_HEADER = "x-functions-key"
_QUERY = "code"


class KeyGuard:
    """Raises `RequestError` if the key does not allow the call: 401, or 403 if it is a key for something else."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    @property
    def _keys(self) -> KeyRing:
        return self._store.current

    def check_function(self, request: EdgeRequest, function: Function) -> None:
        level = function.http.auth_level if function.http else "admin"
        if level != "anonymous" and not _is_any_of(_key_of(request), self._accepted_keys(function, level)):
            raise RequestError(401, f"'{function.name}' asks for a key of level '{level}'")

    def check_admin(self, request: EdgeRequest) -> None:
        self._check(request, [self._keys.master])

    def check_management(self, request: EdgeRequest) -> None:
        self._check(request, [self._keys.durable, self._keys.master])

    def _check(self, request: EdgeRequest, accepted: Iterable[str]) -> None:
        key = _key_of(request)
        if not _is_any_of(key, accepted):
            is_known = _is_any_of(key, self._all())
            raise RequestError(403 if is_known else 401, "The request needs another key")

    def _accepted_keys(self, function: Function, level: str) -> Iterator[str]:
        yield self._keys.master
        if level == "function":
            yield from self._keys.host.values()
            yield from self._keys.functions.get(function.name.lower(), {}).values()
        elif level == "system":
            yield from self._keys.system.values()

    def _all(self) -> Iterator[str]:
        yield self._keys.master
        yield from self._keys.host.values()
        yield from self._keys.system.values()
        for keys in self._keys.functions.values():
            yield from keys.values()


def _key_of(request: EdgeRequest) -> str:
    return request.header(_HEADER) or request.query.text(_QUERY) or ""


def _is_any_of(given: str, keys: Iterable[str]) -> bool:
    """Compares with every key, so that the time does not depend on which of them matches."""
    presented = given.encode("utf-8", "replace")
    matches = [hmac.compare_digest(presented, key.encode("utf-8", "replace")) for key in keys]
    return any(matches)
