"""One HTTP request as the rest of this package reads it.

Rule of this file: whatever bytes a client sends, the texts passed on are valid Unicode, and nothing is read twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import unquote

from aiohttp import HttpVersion10, hdrs, web

from durablehost.core.trace_context import TraceContext, parse_trace_context
from durablehost.errors import RequestError
from durablehost.web.origin import host_in
from durablehost.web.query import Query

# The slowest body that Kestrel accepts; checked less often here, because a debugger may pause the client.
_SLOWEST_BYTES_PER_SECOND = 240
PATIENCE_SECONDS = 30.0
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
_ENCODED_DOT = re.compile("%2e", re.IGNORECASE)
_ENCODED_NUL = "%00"
_AUTHORITY = re.compile("https?://([^/?#]*)", re.IGNORECASE)
_DOTS = frozenset({".", ".."})


class EdgeRequest:
    """A request, its texts cleaned.

    `body_limit` None: a body of any size is read. `link_origin` is where links of the answer point to: the origin of
    the request, or `public_origin` if that is given.

    Raises:
        RequestError: 400, the path has a NUL, or the first line another host than `Host`, no version, or CONNECT.
    """

    def __init__(
        self, source: web.BaseRequest, *, default_origin: str, body_limit: int | None, public_origin: str | None = None
    ) -> None:
        host = source.headers.get("Host", "")
        _check_start(source, host)
        self._source = source
        self._body_limit = body_limit
        self.method = source.method.upper()
        self.raw_path = _normalised(clean(source.rel_url.raw_path) or "/")
        self.raw_query = clean(source.rel_url.raw_query_string)
        self.query = Query(self.raw_query)
        # The name goes into the links of the answer, so it must be valid in a URL.
        self.origin = f"{source.scheme}://{host}" if host_in(host) else default_origin
        self.link_origin = public_origin or self.origin

    @property
    def is_abandoned(self) -> bool:
        """Whether the client has disconnected."""
        return self._source.transport is None or self._source.transport.is_closing()

    @property
    def path(self) -> str:
        """The decoded path; an encoded slash stays encoded, so that it never separates segments."""
        return unquote(_ENCODED_SLASH.sub("%252F", self.raw_path), errors="replace")

    @property
    def url(self) -> str:
        query = f"?{self.raw_query}" if self.raw_query else ""
        return f"{self.origin}{self.raw_path}{query}"

    def header(self, name: str) -> str:
        """The first header of this name; empty if there is none."""
        return clean(self._source.headers.get(name, ""))

    @property
    def trace(self) -> TraceContext | None:
        """The W3C trace context of the client; None if it sends none."""
        states = self._source.headers.getall("tracestate", ())
        return parse_trace_context(self.header("traceparent"), ",".join(map(clean, states)))

    def joined_headers(self) -> Mapping[str, str]:
        """Every header by its name in lower case; repeated ones are joined with a comma."""
        values: dict[str, list[str]] = {}
        for name, value in self._source.headers.items():
            values.setdefault(clean(name).lower(), []).append(clean(value))
        return {name: ",".join(parts) for name, parts in values.items()}

    async def read_utf8(self) -> bytes:
        """The whole body: in UTF-8 if its content type names a charset, else as it is.

        Raises:
            RequestError: as `read`; 400, the charset does not exist, or the body is not in it.
        """
        body, charset = await self.read(), self._source.charset
        try:
            return body.decode(charset).encode() if charset else body
        except LookupError:
            raise RequestError(400, f"The charset '{clean(charset or '')}' does not exist") from None
        except ValueError as error:
            raise RequestError(400, "Invalid JSON content", f"The body is not in its charset: {error}") from error

    async def read(self) -> bytes:
        """The whole body, chunked or not.

        Raises:
            RequestError: 413, it is larger than the limit; 408, it comes too slowly.
        """
        length = self._source.content_length
        if self._body_limit is not None and length is not None and length > self._body_limit:
            raise RequestError(413, f"The request body is larger than {self._body_limit} bytes")
        if self.header("Expect").lower() == "100-continue":
            await self._source.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._source.read() if self._source.content.is_eof() else await self._read_patiently()

    async def _read_patiently(self) -> bytes:
        reading = asyncio.ensure_future(self._source.read())
        try:
            while not reading.done():
                before = self._source.content.total_bytes
                await asyncio.wait({reading}, timeout=PATIENCE_SECONDS)
                came = self._source.content.total_bytes - before
                if not reading.done() and came < PATIENCE_SECONDS * _SLOWEST_BYTES_PER_SECOND:
                    raise RequestError(408, "The request body comes too slowly")
            return reading.result()
        finally:
            reading.cancel()


def _check_start(source: web.BaseRequest, host: str) -> None:
    """Refuses what Kestrel refuses of the first line, because the rules look at `Host` alone; and CONNECT."""
    if source.method.upper() == hdrs.METH_CONNECT:
        # It names no path, so it would be answered as `/`.
        raise RequestError(400, "CONNECT is for proxies, and this is none")
    if source.version < HttpVersion10:
        raise RequestError(400, "The request has no version, or one before HTTP/1.0")
    authority = _AUTHORITY.match(source.raw_path)
    if authority and authority[1].lower() != host.lower():
        raise RequestError(400, "The request is for another host than its header Host says")


def _normalised(raw_path: str) -> str:
    """Removes the segments `.` and `..`, encoded or not, as Kestrel does: rules and routes see the same path."""
    if _ENCODED_NUL in raw_path:
        raise RequestError(400, "The path contains a NUL character (%00)")
    segments = raw_path.split("/")
    dots = [_ENCODED_DOT.sub(".", segment) for segment in segments]
    if segments[0] or not _DOTS.intersection(dots):
        return raw_path
    kept: list[str] = []
    for segment, dotted in zip(segments[1:], dots[1:], strict=True):
        if dotted == "..":
            del kept[-1:]
        elif dotted != ".":
            kept.append(segment)
    if dots[-1] in _DOTS:
        kept.append("")
    return "/" + "/".join(kept)


def clean(text: str) -> str:
    """Replaces bytes that are not UTF-8, which aiohttp passes on as lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
