"""The one import rule that import-linter cannot state: it knows external packages only as a whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("packages/durablehost/src/**/*.py"), *ROOT.glob("shared_code/**/*.py")])


def imported_by(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_host_and_domain_never_import_the_durable_sdk(source: Path) -> None:
    """The SDK is the oracle of the tests: code that used it would agree with itself."""
    assert [name for name in imported_by(source) if name.startswith("azure.durable_functions")] == []


def test_there_are_sources_to_look_at() -> None:
    assert len(SOURCES) > 20
