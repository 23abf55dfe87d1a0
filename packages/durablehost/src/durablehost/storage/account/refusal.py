"""Maps the error answers of the storage services to exceptions, for all clients."""

from __future__ import annotations

from durablehost.errors import StorageError, StorageRefused, StorageUnavailable


class Missing(StorageError):
    """404: the row, message, queue, table or blob does not exist."""


class Gone(Missing):
    """404: the queue, table or container itself does not exist."""


class Conflict(StorageError):
    """409 or 412, or a stale pop receipt: it exists already, or has changed since it was read."""


# Not valid, too large, or a key that makes the URL too long.
_NEVER_ACCEPTED = frozenset({400, 413, 414})
_GONE = frozenset({"QueueNotFound", "TableNotFound", "ContainerNotFound"})


def refusal(status: int, code: str | None, reason: str) -> StorageError:
    """The error for an answer of 400 and above; `code` is that of the service."""
    if status == 404:
        return Gone(reason) if code in _GONE else Missing(reason)
    if status in (409, 412) or code == "PopReceiptMismatch":
        return Conflict(reason)
    if status >= 500 or status in (408, 429):
        return StorageUnavailable(reason)
    if status in _NEVER_ACCEPTED:
        return StorageRefused(reason)
    return StorageError(reason)


def one_line(text: str) -> str:
    """The first line of an error text; the others are of use to the service only."""
    # aiohttp names its TLS setting in every failed connection, plain HTTP included.
    lines = text.replace(" ssl:default", "").strip().splitlines()
    return lines[0] if lines else ""
