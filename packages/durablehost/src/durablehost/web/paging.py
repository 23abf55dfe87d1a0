"""Pages of a listing, as full as the client asks for, and their continuation tokens.

The SDK's client reads the first page only, however short it is; a table may return a short page, even an empty one.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from durablehost.errors import RequestError
from durablehost.web.request import EdgeRequest

TOKEN_HEADER = "x-ms-continuation-token"

_PAGE_SIZE = 100
_LARGEST_STORAGE_PAGE = 1000  # the most rows that a table returns for one query

Record = TypeVar("Record", covariant=True)
Fetch = Callable[[int, str | None], Awaitable["Page[Record]"]]


class Page(Protocol[Record]):
    """One page as the storage returns it."""

    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def continuation_token(self) -> str | None: ...


async def full_page(request: EdgeRequest, fetch: Fetch[Record]) -> tuple[list[Record], dict[str, str]]:
    """The page that a request asks for, and the header with the token of the next one.

    Raises:
        RequestError: 400, the token is not one that an earlier page gave, or the size is negative.
    """
    wanted = request.query.integer("top", _PAGE_SIZE)
    if wanted < 0:
        raise RequestError(400, f"'top' must not be negative: {wanted}.")
    if wanted == 0:
        return [], {TOKEN_HEADER: ""}  # with a token, a client would ask for ever
    records, token = await read_page(fetch, wanted, token_from_header(request.header(TOKEN_HEADER)))
    return records, {TOKEN_HEADER: token_to_header(token)}


async def read_page(fetch: Fetch[Record], wanted: int, token: str | None) -> tuple[list[Record], str | None]:
    """`wanted` records, fewer only at the end of the listing, and the token of the next page.

    `fetch` takes the size of a page and a token. `token` None: from the beginning.
    """
    records: list[Record] = []
    while True:
        page = await fetch(min(wanted - len(records), _LARGEST_STORAGE_PAGE), token)
        records.extend(page.records)
        token = page.continuation_token
        if token is None or len(records) >= wanted:
            return records, token


def token_to_header(token: str | None) -> str:
    """The storage's token as one word that a header carries unchanged; empty if there are no more pages."""
    return urlsafe_b64encode(token.encode("utf-8")).decode("ascii") if token else ""


def token_from_header(value: str) -> str | None:
    """The reverse of `token_to_header`.

    Raises:
        RequestError: 400, the value is not one that an earlier page gave.
    """
    if not value.strip():
        return None
    try:
        return urlsafe_b64decode(value.strip().encode("ascii")).decode("utf-8")
    except ValueError as error:
        raise RequestError(400, "The continuation token is not one of an earlier page.") from error
