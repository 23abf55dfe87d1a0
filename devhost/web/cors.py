"""Cross-origin rules of the public listener.

Mirrors the CORS policy that the Functions command line builds: any header, any method, the origins that are configured.
An origin that is not allowed gets no CORS headers; that its requests are refused as a whole is the rule of `pages`.
"""

from __future__ import annotations

from aiohttp import web

from devhost.errors import ConfigurationError

_ANY = "*"


class CorsPolicy:
    """Which origins may read answers.

    Raises:
        ConfigurationError: credentials are allowed for every origin, which browsers refuse.
    """

    def __init__(self, origins: tuple[str, ...], *, allows_credentials: bool) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self._allows_any = _ANY in self._origins
        self._allows_credentials = allows_credentials
        if self._allows_any and allows_credentials:
            raise ConfigurationError(
                "local.settings.json: Host.CORSCredentials cannot go with Host.CORS '*'; name the origins instead"
            )

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
        """Puts the headers on an answer that let a page of an allowed origin read it."""
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
        """Whether pages of this origin may call; empty: one that the browser does not tell."""
        return self._allows_any or origin.lower() in self._origins
