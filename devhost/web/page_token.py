"""Continuation tokens on the wire: whatever text the storage uses, as one word that a header carries unchanged."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from devhost.errors import RequestError


def token_to_header(token: str | None) -> str:
    """Empty where there are no more pages."""
    return urlsafe_b64encode(token.encode("utf-8")).decode("ascii") if token else ""


def token_from_header(value: str) -> str | None:
    """The reverse of `token_to_header`.

    Raises:
        RequestError: 400, where the value is not one that an earlier page gave.
    """
    if not value.strip():
        return None
    try:
        return urlsafe_b64decode(value.strip().encode("ascii")).decode("utf-8")
    except ValueError as error:
        raise RequestError(400, "The continuation token is not one of an earlier page.") from error
