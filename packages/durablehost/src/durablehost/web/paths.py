"""Which part of a server a path belongs to."""

from __future__ import annotations


def below(base: str, raw_path: str) -> str | None:
    """What follows the base in the path, compared without regard to case; None if the path is not below it."""
    head, rest = raw_path[: len(base)], raw_path[len(base) :]
    return rest if head.lower() == base and (not rest or rest.startswith("/")) else None
