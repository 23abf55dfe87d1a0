"""Cross-origin rules of the public listener.

Mirrors the CORS policy that the Functions command line builds: any header, any method, the origins that are configured.
An origin that is not allowed gets no CORS headers here, and its requests are refused by `pages`.
"""

from __future__ import annotations

from aiohttp import web

_ANY = "*"


class CorsPolicy:
    """Which origins may read answers."""

    def __init__(self, origins: tuple[str, ...], *, allows_credentials: bool) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self._allows_any = _ANY in self._origins
        self._allows_credentials = allows_credentials

    @property
    def is_active(self) -> bool:
        return bool(self._origins)

    def is_preflight(self, request: web.BaseRequest) -> bool:
        return (
            self.is_active
            and request.method == "OPTIONS"
            and "Origin" in request.headers
            and "Access-Control-Request-Method" in request.headers
        )

    def preflight_answer(self, request: web.BaseRequest) -> web.Response:
        answer = web.Response(status=204)
        if self.allows(request.headers.get("Origin", "")):
            answer.headers["Access-Control-Allow-Methods"] = request.headers["Access-Control-Request-Method"]
            wanted = request.headers.get("Access-Control-Request-Headers")
            if wanted:
                answer.headers["Access-Control-Allow-Headers"] = wanted
        return answer

    def mark(self, request: web.BaseRequest, answer: web.StreamResponse) -> None:
        """Adds the headers that allow a page of an allowed origin to read the answer."""
        if "Origin" not in request.headers or not self.allows(request.headers["Origin"]):
            return
        if self._allows_any:
            answer.headers["Access-Control-Allow-Origin"] = _ANY
        else:
            answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            answer.headers.add("Vary", "Origin")
        if self._allows_credentials:
            answer.headers["Access-Control-Allow-Credentials"] = "true"

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call; empty: the browser does not name the origin."""
        return self._allows_any or origin.lower() in self._origins
