"""The page of the console with its files, its JSON routes, and the headers that every answer of them has.

The files contain nothing of the app, so they need no key; every route below `api` needs one if the host checks keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from durablehost.web.answer import empty, error_answer
from durablehost.web.request import EdgeRequest

CONSOLE_PATH = "/console"

_STATIC = Path(__file__).parent / "static"
_PAGE = "index.html"
_API = "/api"
_CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
# Nothing from elsewhere, nothing inline, and in no frame: a page around it could make somebody click on "Purge".
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

ApiAnswer = Callable[[EdgeRequest, str], Awaitable[web.StreamResponse]]


class ConsoleSite:
    """Serves what is below `/console`.

    `answer_api` answers a request to the API by the raw path below it; `check_key` raises before if the request has no
    valid key.
    """

    def __init__(self, answer_api: ApiAnswer, check_key: Callable[[EdgeRequest], None]) -> None:
        self._answer_api = answer_api
        self._check_key = check_key
        self._files = {
            path.relative_to(_STATIC).as_posix(): path for path in _STATIC.rglob("*") if path.suffix in _CONTENT_TYPES
        }

    async def handle(self, request: EdgeRequest, rest: str) -> web.StreamResponse:
        """`rest` is the raw path below `/console`."""
        try:
            answer = await self._answer(request, rest)
        except Exception as error:
            answer = error_answer(error)
        answer.headers.update(_HEADERS)
        return answer

    async def _answer(self, request: EdgeRequest, rest: str) -> web.StreamResponse:
        if rest.lower() == _API or rest.lower().startswith(f"{_API}/"):
            self._check_key(request)
            return await self._answer_api(request, rest[len(_API) :])
        path = self._files.get(rest.removeprefix("/") or _PAGE)
        if path is None or request.method != "GET":
            return empty(404)
        return web.Response(body=path.read_bytes(), content_type=_CONTENT_TYPES[path.suffix], charset="utf-8")
