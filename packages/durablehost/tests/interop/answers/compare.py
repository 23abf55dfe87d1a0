"""Compares the answers of two hosts, and keeps those of the real engine in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packages.durablehost.tests.interop.answers.caller import Answers

RECORDING = Path(__file__).with_name("recorded.json")
MISSING = "(none)"

# A call, a place in its answer, and what stands there in both.
Difference = tuple[str, str, Any, Any]


def recorded() -> Answers:
    answers: Answers = json.loads(RECORDING.read_text("utf-8"))
    return answers


def record(answers: Answers) -> None:
    """One call a line, so that a change shows in a diff."""
    groups = (
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in calls) + "\n]"
        for name, calls in answers.items()
    )
    RECORDING.write_text("{\n" + ",\n".join(groups) + "\n}\n", "utf-8")


def differences(ours: Answers, theirs: Answers) -> Iterator[Difference]:
    """Where the answers differ."""
    assert labels(ours) == labels(theirs), "the calls have changed since the recording"
    for group, calls in theirs.items():
        for our, their in zip(ours[group], calls, strict=True):
            for place, mine, other in _places(our, their, ""):
                yield f"{group}: {their['call']}", place, mine, other


def labels(answers: Answers) -> dict[str, list[str]]:
    return {group: [each["call"] for each in calls] for group, calls in answers.items()}


def described(found: Iterator[Difference]) -> str:
    return "\n".join(f"{call} / {place}\n    {ours!r}\n    {theirs!r}" for call, place, ours, theirs in found)


def _places(ours: Any, theirs: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if set(ours) == set(theirs) and list(ours) != list(theirs):
            yield f"{path}.order", list(ours), list(theirs)
        for name in {**theirs, **ours}:
            yield from _places(ours.get(name, MISSING), theirs.get(name, MISSING), f"{path}.{name}".strip("."))
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path}.length", len(ours), len(theirs)
        for number, (our, their) in enumerate(zip(ours, theirs, strict=False)):
            yield from _places(our, their, f"{path}.{number}")
    elif ours != theirs or type(ours) is not type(theirs):
        yield path, ours, theirs
