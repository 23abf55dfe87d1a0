"""One word for one thing: the words that were given up stay gone. See the glossary of durablehost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SUFFIXES = {".json", ".md", ".py", ".svg", ".toml", ".txt", ".yaml", ".yml"}
# Caches and environments begin with a dot; these folders are the project's.
HIDDEN = {".ci", ".github", ".vscode"}
SOURCES = ("packages/durablehost/src", "packages/durablehost/docs", "shared_code", "docs")
# Each as a pattern, with the folders that are searched.
GIVEN_UP = {
    "the former name of the host": ("dev" + "host", (".",)),
    "turn, for an episode": (r"\b(?:a|the|this|one|next|first|each|every|its|their|whose) turns?\b", SOURCES),
    "reply, for a result": (r"\brepl(?:y|ies)\b", ("packages/durablehost/src",)),
}


def texts(folder: str) -> Iterator[tuple[Path, str]]:
    for path in (ROOT / folder).rglob("*"):
        first, *_ = path.relative_to(ROOT).parts
        is_outside = (first.startswith(".") and first not in HIDDEN) or first in ("node_modules", "venv")
        if path.suffix in SUFFIXES and not is_outside and path.is_file() and path != Path(__file__):
            yield path.relative_to(ROOT), path.read_text("utf-8")


@pytest.mark.parametrize("word", GIVEN_UP)
def test_a_word_that_was_given_up_is_not_used(word: str) -> None:
    pattern, folders = GIVEN_UP[word]
    found = [
        f"{path}: {line.strip()}"
        for folder in folders
        for path, text in texts(folder)
        for line in text.splitlines()
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert found == []


def test_no_file_has_the_former_name_of_the_host() -> None:
    assert [path for path, _ in texts(".") if re.search("dev" + "host", str(path))] == []
