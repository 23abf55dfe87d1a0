"""Mutations of stored data that no host would make, chosen by a seeded random generator."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable
from typing import Any

DEEP = 300


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 4, 15, 2**31, -(2**31) - 1, 2**63, 10**40, 0.5, 1e308, float("inf"), float("nan"),
    "", " ", "x", "0", "-1", "null", "{}", "[", "\x00", "a\x00b", "\ud800", "a\udfffb", "\ufffe", "^", "@", "@@",
    "@counter@", "a/b#c?d\\e", "line\nbreak", "🙂" * 300, "x" * 600, "x" * 70_000, "op", "op@",
    "op@9999-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "1600-01-01T00:00:00.1234567Z",
    "2026-13-45T99:99:99Z", "2026-01-05T10:00:00+02:00", "2026-01-05", "yesterday", "Novelty", "ExecutionCompleted",
    [], {}, [None], {"a": 1}, {"$type": "x"}, {"InstanceId": None}, {"InstanceId": "other", "ExecutionId": 5},
)  # fmt: skip


def _paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns every place in a JSON document, except the document itself."""
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    found = []
    for name, value in members:
        found += [(*path, name), *_paths(value, (*path, name))]
    return found


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


def _replace(parent: Any, name: Any, rng: random.Random) -> None:
    parent[name] = copy.deepcopy(rng.choice(ODD_VALUES))


def _remove(parent: Any, name: Any, rng: random.Random) -> None:
    del parent[name]


def _rename(parent: Any, name: Any, rng: random.Random) -> None:
    value = parent.pop(name)
    if isinstance(parent, dict):
        parent[rng.choice(("", "x", str(name).lower(), f"{name}2", "\ud800"))] = value


def _turn_into_another_type(parent: Any, name: Any, rng: random.Random) -> None:
    value = parent[name]
    if isinstance(value, str):
        parent[name] = rng.choice((len(value), [value], {"value": value}, f"{value}{value}"[:100_000]))
    elif isinstance(value, (int, float)):
        parent[name] = rng.choice((str(value), value + 0.5, -value, [value], value * 2**40))
    else:
        parent[name] = rng.choice((json.dumps(value), [value], {"value": value}))


def _nest(parent: Any, name: Any, rng: random.Random) -> None:
    parent[name] = nested(rng.choice((60, 70, DEEP)))


def _swap(parent: Any, name: Any, rng: random.Random) -> None:
    names = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    other = rng.choice(names)
    parent[name], parent[other] = parent[other], parent[name]


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _rename,
    _turn_into_another_type,
    _turn_into_another_type,
    _nest,
    _swap,
)


def mutated(document: Any, rng: random.Random) -> Any:
    """Returns a copy of a JSON document with one to three changes."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = _paths(changed)
        if not paths:
            break
        path = rng.choice(paths)
        rng.choice(_CHANGES)(_at(changed, path[:-1]), path[-1], rng)
    return changed


def mutated_text(text: str, rng: random.Random) -> str:
    """Returns the text with some characters changed, cut, or encoded in another way."""
    position, other = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return rng.choice(
        (
            lambda: text[:position],
            lambda: text[position:],
            lambda: text[:position] + text[other:],
            lambda: (
                text[:position] + rng.choice(("\ud800", "\x00", '"', "{", "}", "\\", "🙂", "\ufeff")) + text[position:]
            ),
            lambda: text[:position] + text[position:other] * 3 + text[other:],
            lambda: base64.b64encode(text.encode("utf-8", "surrogatepass")).decode(),
            lambda: base64.b64encode(text.encode("utf-16", "surrogatepass")).decode(),
            lambda: base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()[:other],
            lambda: "\ufeff" + text,
            lambda: "[" * 100_000,
            lambda: "1" * 10_000,
        )
    )()


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 10))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.choice((len(changed), rng.randrange(len(changed) + 1)))])
