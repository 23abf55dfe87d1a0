"""Sends signed requests to one storage service over pooled connections.

For the few operations that run for every message and every checkpoint. The official SDK spends more time on a request
than the emulator (docs/performance.md), so it is used only for rare operations, such as creating a table.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from azure.core.exceptions import AzureError
from yarl import URL

from durablehost.errors import StorageError, StorageUnavailable, StorageUnreachable
from durablehost.storage.account.outage import Outage
from durablehost.storage.account.refusal import Gone, one_line, refusal
from durablehost.storage.account.signing import Request, Signer

# The oldest version with all operations that are used here; newer services still support it.
SERVICE_VERSION = "2019-02-02"
# Between attempts. The first is short: a connection that was closed while idle fails only once.
RETRY_WAITS_SECONDS = (0.1, 1.0)

# Headers that aiohttp would add: not wanted, or only valid if they were signed.
_UNSIGNED_HEADERS = ("Content-Type", "User-Agent", "Accept-Encoding")

_XML_ERROR = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)

Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A complete HTTP answer of a service."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServiceClient:
    """One storage service. `pause` waits between attempts.

    `on_gone`, if set, is called with the reason whenever a queue or a table itself does not exist. `outage`, if set,
    tells when the service cannot be reached.
    """

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: str, signer: Signer, *, pause: Pause = asyncio.sleep
    ) -> None:
        self._session = session
        self._signer = signer
        self._pause = pause
        self.endpoint = endpoint
        self.on_gone: Callable[[str], None] | None = None
        self.outage: Outage | None = None

    async def send(self, request: Request) -> Answer:
        """Sends a request, up to three times; returns the answer. If an answer is lost, the request may act twice.

        Raises:
            Missing, Conflict: for callers within the storage package.
            StorageUnavailable: no answer, a 5xx, or too many requests.
            StorageError: any other refusal.
        """
        for wait in RETRY_WAITS_SECONDS:
            try:
                return await self._attempt(request)
            except StorageUnavailable:
                await self._pause(wait)
        try:
            return await self._attempt(request)
        except StorageUnreachable as error:
            if self.outage is not None:
                self.outage.begin(str(error))
            raise

    async def _attempt(self, request: Request) -> Answer:
        request.headers["x-ms-version"] = SERVICE_VERSION
        try:
            await self._signer.sign(request)
            async with self._session.request(
                request.method,
                self._url(request),
                headers=request.headers,
                data=request.body or None,
                skip_auto_headers=_UNSIGNED_HEADERS,
            ) as response:
                answer = Answer(status=response.status, headers=response.headers, body=await response.read())
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            kind = StorageUnreachable if isinstance(error, aiohttp.ClientConnectorError) else StorageUnavailable
            raise kind(one_line(str(error)) or type(error).__name__) from error
        except AzureError as error:
            raise StorageError(one_line(str(error))) from error  # the identity gives no token
        if self.outage is not None:
            self.outage.end()
        if answer.status >= 400:
            raise self.refusal_of(answer)
        return answer

    def refusal_of(self, answer: Answer) -> StorageError:
        """The error for an answer with a status of 400 and above, whose body is XML or JSON."""
        error = _refusal_of(answer)
        if isinstance(error, Gone) and self.on_gone is not None:
            self.on_gone(str(error))
        return error

    def _url(self, request: Request) -> URL:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in request.query.items())
        return URL(f"{self.endpoint}/{request.path}{'?' if query else ''}{query}", encoded=True)


def _refusal_of(answer: Answer) -> StorageError:
    code, text = _code_and_text(answer.body.decode("utf-8", "replace"))
    return refusal(answer.status, answer.headers.get("x-ms-error-code", code), one_line(text) or str(answer.status))


def _code_and_text(body: str) -> tuple[str, str]:
    if found := _XML_ERROR.search(body):
        return found[1], found[2]
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(body)["odata.error"]
        return str(error["code"]), str(error["message"]["value"])
    return "", body
