"""The admin routes that tools such as the VS Code extension call: host status, functions, running a function.

Mirrors HostController and FunctionsController of the Functions host. Links point to the origin of the request, plain
http included.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from aiohttp import web

from durablehost.app.invocation import HttpRequest, InputValue
from durablehost.app.model import Function, FunctionApp, TriggerKind
from durablehost.errors import RequestError
from durablehost.large_text import call_on_text
from durablehost.types import JsonValue
from durablehost.web.answer import empty, json_answer
from durablehost.web.functions import FunctionCaller
from durablehost.web.keys import KeysApi
from durablehost.web.request import EdgeRequest
from durablehost.web.router import full_template

logger = logging.getLogger("Host.Web")

_WARMUP = "warmup"
_WARMUP_TRIGGER = "warmuptrigger"


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """The state of the host. `state` is a word of the Functions host; tools wait for `Running`.

    `start_token` is what the process that started the host has given it, to recognise it; None: nothing.
    """

    host_id: str
    state: str
    version: str
    uptime_seconds: float
    start_token: str | None = None


class AdminApi:
    """Serves the routes below `/admin`. Owns the runs it starts: `close` ends them. `keys` None: there are no keys."""

    def __init__(
        self,
        app: FunctionApp,
        caller: FunctionCaller,
        host_status: Callable[[], HostStatus],
        *,
        prefix: str,
        keys: KeysApi | None = None,
    ) -> None:
        self._functions = {function.name.lower(): function for function in app.functions}
        self._errors = {error.name.lower(): error.message for error in app.errors}
        self._caller = caller
        self._host_status = host_status
        self._prefix = prefix
        self._keys = keys
        self._is_warm = False
        self._runs: set[asyncio.Task[None]] = set()

    async def handle(self, request: EdgeRequest, rest: str) -> web.Response:
        """`rest` is the raw path below `/admin`."""
        parts = [unquote(part, errors="replace") for part in rest.strip("/").split("/")]
        if self._keys is not None and (answer := await self._keys.handle(request, parts)) is not None:
            return answer
        match request.method, [parts[0].lower(), *parts[1:]]:
            case "GET", ["host", name] if name.lower() == "status":
                return self._status()
            case "GET" | "POST", ["host", _] if is_ping(rest):
                return empty(200)
            case _, [name] if name == _WARMUP:
                return await self._warm_up()
            case "GET", ["functions"]:
                return json_answer([self._describe(function, request.origin) for function in self._functions.values()])
            case "GET", ["functions", name]:
                function = self._functions.get(name.lower())
                return json_answer(self._describe(function, request.origin)) if function else empty(404)
            case "POST", ["functions", name]:
                return await self._run(request, name)
            case "GET", ["functions", name, last] if last.lower() == "status":
                return self._function_status(name)
        return empty(404)

    async def wait_for_runs(self) -> None:
        """Returns when every run started here has ended."""
        while self._runs:
            await asyncio.wait(self._runs)

    async def close(self) -> None:
        """Cancels the runs that have not ended."""
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    def _status(self) -> web.Response:
        status = self._host_status()
        document: dict[str, JsonValue] = {
            "id": status.host_id,
            "state": status.state,
            "version": status.version,
            "versionDetails": status.version,
            "processUptime": int(status.uptime_seconds * 1000),
            "functionAppContentEditingState": "Unknown",
        }
        if status.start_token is not None:
            document["startToken"] = status.start_token
        return json_answer(document)

    async def _warm_up(self) -> web.Response:
        """Runs the function `Warmup` with a warmup trigger once in the life of the host; else only answers."""
        function = self._functions.get(_WARMUP)
        if self._is_warm or function is None or function.trigger.type.lower() != _WARMUP_TRIGGER:
            return empty(200)
        if function.is_disabled:
            return empty(404)
        self._is_warm = True
        result = await self._caller.call(function, "")
        return empty(500 if result is None or result.failure else 200)

    def _function_status(self, name: str) -> web.Response:
        error = self._errors.get(name.lower())
        if error is None and name.lower() not in self._functions:
            return empty(404)
        return json_answer({"errors": [error]} if error else {})

    def _describe(self, function: Function, origin: str) -> JsonValue:
        files = f"{origin}/admin/vfs/site/wwwroot/{quote(function.name)}"
        return {
            "name": function.name,
            "script_root_path_href": f"{files}/",
            "script_href": f"{files}/{quote(function.script_file.name)}",
            "config_href": f"{files}/function.json",
            "test_data_href": f"{origin}/admin/vfs/data/Functions/sampledata/{quote(function.name)}.dat",
            "href": f"{origin}/admin/functions/{quote(function.name)}",
            "invoke_url_template": self._invoke_url(function, origin),
            "language": "python",
            "config": function.config,
            "files": None,
            "test_data": "",
            "isDisabled": function.is_disabled,
            "isDirect": False,
            "isProxy": False,
        }

    def _invoke_url(self, function: Function, origin: str) -> str | None:
        if function.http is None:
            return None
        return f"{origin}/{full_template(function, self._prefix)}".lower()

    async def _run(self, request: EdgeRequest, name: str) -> web.Response:
        function = self._functions.get(name.lower())
        if function is None:
            return empty(404)
        text = await call_on_text(_input_of, await request.read()) or ""
        value: InputValue = _as_request(text, request) if function.kind is TriggerKind.HTTP else text
        run = asyncio.create_task(self._call(function, value), name=f"admin run of {function.name}")
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return empty(202)

    async def _call(self, function: Function, value: InputValue) -> None:
        """Calls the function. Logs a failure, because no caller waits for the result."""
        try:
            await self._caller.call(function, value)
        except Exception:
            logger.exception("The run of '%s' failed", function.name)


def is_open(rest: str) -> bool:
    """Whether the path below `/admin` never needs a key: `host/ping` and `warmup`."""
    return is_ping(rest) or _plain(rest) == _WARMUP


def is_ping(rest: str) -> bool:
    return _plain(rest) == "host/ping"


def _plain(rest: str) -> str:
    return unquote(rest, errors="replace").strip("/").lower()


def _input_of(body: bytes) -> str:
    """The `input` of `{"input": "<string>"}`; a number becomes its text."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, 'The body has to be {"input": "<string>"}', str(error)) from error
    if not isinstance(document, dict):
        raise RequestError(400, 'The body has to be {"input": "<string>"}')
    value = document.get("input")
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise RequestError(400, "'input' must be a string: pass JSON for the function as a string")
    return value if isinstance(value, str) else json.dumps(value)


def _as_request(text: str, request: EdgeRequest) -> HttpRequest:
    return HttpRequest(
        method="POST",
        # Without the query: it may hold the master key, which the function must not see.
        url=f"{request.origin}{request.raw_path}",
        headers={"content-type": "application/json"} if text else {},
        query={},
        params={},
        body=text.encode("utf-8", "replace"),
    )
