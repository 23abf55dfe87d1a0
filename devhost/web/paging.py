"""Pages of a listing, as full as the client asks for.

The SDK's client reads the first page only, however short it is; a table may give a short page, even an empty one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from devhost.web.page_token import token_from_header, token_to_header
from devhost.web.request import EdgeRequest

TOKEN_HEADER = "x-ms-continuation-token"

_PAGE_SIZE = 100
_LARGEST_STORAGE_PAGE = 1000  # a table answers no query for more

Record = TypeVar("Record", covariant=True)


class Page(Protocol[Record]):
    """One page as the storage gives it."""

    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def continuation_token(self) -> str | None: ...


async def full_page(
    request: EdgeRequest, fetch: Callable[[int, str | None], Awaitable[Page[Record]]]
) -> tuple[list[Record], dict[str, str]]:
    """The page that a request asks for, and the header for its answer; `fetch` takes a size and a token.

    Raises:
        RequestError: 400, where the token is not one that an earlier page gave.
    """
    wanted = request.query.positive_integer("top", _PAGE_SIZE)
    token = token_from_header(request.header(TOKEN_HEADER))
    records: list[Record] = []
    while True:
        page = await fetch(min(wanted - len(records), _LARGEST_STORAGE_PAGE), token)
        records.extend(page.records)
        token = page.continuation_token
        if token is None or len(records) >= wanted:
            return records, {TOKEN_HEADER: token_to_header(token)}
