"""One HTTP request as the rest of this package reads it.

Rule of this file: whatever bytes a client sends, the texts handed on are valid Unicode, and nothing is read twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from aiohttp import web

from devhost.errors import RequestError
from devhost.web.query import Query

_HOST = re.compile(r"[A-Za-z0-9._~%\[\]:-]{1,255}")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


class EdgeRequest:
    """A request, its texts cleaned.

    `body_limit` None: a body of any size is read. `link_origin` is where links of the answer point to: the origin of
    the request, or `public_origin` where that is given.
    """

    def __init__(
        self, source: web.BaseRequest, *, default_origin: str, body_limit: int | None, public_origin: str | None = None
    ) -> None:
        self._source = source
        self._body_limit = body_limit
        self.method = source.method.upper()
        self.raw_path = clean(source.rel_url.raw_path) or "/"
        self.raw_query = clean(source.rel_url.raw_query_string)
        self.query = Query(self.raw_query)
        host = source.headers.get("Host", "")
        # A name that cannot stand in a URL would come back in the links of the answer.
        self.origin = f"{source.scheme}://{host}" if _HOST.fullmatch(host) else default_origin
        self.link_origin = public_origin or self.origin

    @property
    def path(self) -> str:
        """The decoded path; an encoded slash stays encoded, so that it never separates segments."""
        return unquote(_ENCODED_SLASH.sub("%252F", self.raw_path), errors="replace")

    @property
    def url(self) -> str:
        query = f"?{self.raw_query}" if self.raw_query else ""
        return f"{self.origin}{self.raw_path}{query}"

    def header(self, name: str) -> str:
        """The first header of this name, empty where there is none."""
        return clean(self._source.headers.get(name, ""))

    def joined_headers(self) -> Mapping[str, str]:
        """Every header by its name in lower case; repeated ones are joined with a comma."""
        values: dict[str, list[str]] = {}
        for name, value in self._source.headers.items():
            values.setdefault(clean(name).lower(), []).append(clean(value))
        return {name: ",".join(parts) for name, parts in values.items()}

    async def read(self) -> bytes:
        """The whole body, chunked or not.

        Raises:
            RequestError: 413, where it is larger than the limit.
        """
        length = self._source.content_length
        if self._body_limit is not None and length is not None and length > self._body_limit:
            raise RequestError(413, f"The request body is larger than {self._body_limit} bytes")
        if self.header("Expect").lower() == "100-continue":
            await self._source.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._source.read()


def clean(text: str) -> str:
    """The text with bytes that are not UTF-8, which aiohttp hands on as lone surrogates, replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
