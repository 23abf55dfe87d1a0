"""Checks that the links, tests, options, commands and JSON in the documents exist and are valid.

Rule of this file: it runs nothing and checks no wording, so that it never prevents a better sentence.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dev
from durablehost.cli import main as durablehost
from durablehost.commands.arguments import add_durable_parser
from durablehost.engine.explanation import Kind

ROOT = Path(__file__).parents[3]
PACKAGE = Path("packages", "durablehost")
PACKAGE_DOCS = PACKAGE / "docs"
FOLDERS = (Path(), Path("docs"), Path("sample_data"), PACKAGE, PACKAGE_DOCS)
DOCUMENTS = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
REFERENCE = PACKAGE_DOCS / "reference.md"

FENCE = re.compile(r"^```(?P<language>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
DEV_COMMAND = re.compile(r"\b(?:py|python[\d.]*) dev\.py (?P<command>[a-z]+)|`dev\.py (?P<short>[a-z]+)`")
TESTS_COMMAND = re.compile(r"(?:dev\.py test|pytest) (?P<path>[\w/]*tests/[\w/.]*)")
# A test by its path below `tests/`, and a class or a function in it.
TEST = re.compile(r"`(?P<file>(?:\w+/)+test_\w+\.py)(?:::(?P<name>\w+(?:::\w+)?))?`")
HELD = re.compile(r"^\|.*\| held by \|\n\|[-|]+\|\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)
# UTF-8 that was read as Windows-1252 and written again, or could not be read.
MOJIBAKE = re.compile("[\u00c2\u00c3\u00e2][\u0080-\u00bf\u20ac\u2122\u0153\u201a-\u201e]|\ufffd")

# As in: `settle` in [fan_out.py](shared_code/fan_out.py)
NAME_IN_MODULE = re.compile(r"`(?P<name>[A-Za-z_]\w*)` in\s+\[[^]]+\]\((?P<path>[^)#]+\.py)\)")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


def read(document: Path) -> str:
    return (ROOT / document).read_text("utf-8")


def prose(document: Path) -> str:
    return FENCE.sub("", read(document))


def links(document: Path) -> Iterator[tuple[str, str]]:
    """Path and fragment of every link into this repository."""
    for match in LINK.finditer(prose(document)):
        target = match["target"]
        if "://" not in target:
            path, _, fragment = target.partition("#")
            yield path, fragment


def anchors(document: Path) -> set[str]:
    """The fragments that a repository host derives from the headings."""
    texts = (match["text"].lower() for match in HEADING.finditer(prose(document)))
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def names_in(file: Path) -> set[str]:
    """The classes and functions of a test file, by the names that pytest knows them by."""
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, named):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, named)}
    return names


def defined_in(file: Path) -> set[str]:
    """The functions, classes and constants of a module, also those inside of classes."""
    defined = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
    return defined


def find_test(document: Path, name: str) -> Path | None:
    """The test file that a document names; a document of the package may name its own tests or those of the app."""
    folders = [ROOT / "tests"]
    if PACKAGE in document.parents:
        folders.insert(0, ROOT / PACKAGE / "tests")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def fenced(document: Path, language: str) -> list[str]:
    return [match["body"] for match in FENCE.finditer(read(document)) if match["language"] == language]


def section(text: str, heading: str) -> str:
    return re.split(r"^#+ ", text.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_there_are_documents() -> None:
    expected = {Path("README.md"), Path("docs", "tutorial.md"), PACKAGE / "README.md", PACKAGE_DOCS / "durability.md"}
    assert expected <= set(DOCUMENTS)


def test_the_readme_has_at_most_200_lines() -> None:
    assert len(read(Path("README.md")).splitlines()) <= 200


@every_document
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for path, fragment in links(document):
        target = (ROOT / document.parent / path).resolve() if path else ROOT / document
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(f"{path}#{fragment}")
    assert broken == []


@every_document
def test_every_fence_is_closed(document: Path) -> None:
    assert "```" not in prose(document)


@every_document
def test_every_json_block_is_json(document: Path) -> None:
    for block in fenced(document, "json"):
        json.loads(block)


@every_document
def test_the_text_is_utf_8_and_was_never_anything_else(document: Path) -> None:
    text = read(document)
    assert not text.startswith("\ufeff")
    assert "\r" not in text
    assert MOJIBAKE.findall(text) == []


@every_document
def test_every_command_of_dev_py_exists(document: Path) -> None:
    named = {match["command"] or match["short"] for match in DEV_COMMAND.finditer(read(document))}
    assert named <= set(dev.COMMANDS)


@every_document
def test_every_command_names_tests_by_their_path_from_the_root(document: Path) -> None:
    named = [match["path"] for match in TESTS_COMMAND.finditer(read(document))]
    assert [path for path in named if not (ROOT / path).exists()] == []


@every_document
def test_every_name_that_is_said_to_be_in_a_module_is_defined_there(document: Path) -> None:
    named = [
        (match["name"], ROOT / document.parent / match["path"]) for match in NAME_IN_MODULE.finditer(read(document))
    ]
    assert [name for name, module in named if name not in defined_in(module)] == []


@every_document
def test_every_test_that_is_named_exists(document: Path) -> None:
    missing = []
    for match in TEST.finditer(read(document)):
        file = find_test(document, match["file"])
        if file is None or (match["name"] and match["name"] not in names_in(file)):
            missing.append(match[0])
    assert missing == []


@pytest.mark.parametrize(("document", "fewest"), [("features.md", 90), ("management-api.md", 20), ("security.md", 25)])
def test_every_row_that_promises_a_test_names_one(document: str, fewest: int) -> None:
    tables = HELD.findall(read(PACKAGE_DOCS / document))
    rows = [row for rows in tables for row in rows.splitlines()]
    assert len(rows) >= fewest
    assert [row for row in rows if not TEST.search(row.rpartition(" | ")[2])] == []


def test_the_layout_names_existing_files() -> None:
    layout = FENCE.search(section(read(Path("CONTRIBUTING.md")), "## Layout"))
    assert layout is not None
    named = [line.split()[0] for line in layout["body"].splitlines()]
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_options_of_durablehost_are_those_of_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        durablehost(["start", "--help"])
    offered = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--prefix"}
    documented = section(read(REFERENCE), "## Options of `durablehost start`")
    table = "\n".join(line.split("|")[1] for line in documented.splitlines() if line.startswith("|"))
    assert set(re.findall(r"--[a-z-]+", table)) - {"---"} == offered


def test_the_verbs_for_a_task_hub_and_their_options_are_those_of_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_durable_parser(parser.add_subparsers(dest="command"))
    documented = section(read(REFERENCE), "## A task hub without a host")
    rows = [line.split("|") for line in documented.splitlines() if line.startswith("| `")]
    assert len(rows) == 11
    of_all = set(re.findall(r"--[a-z-]+", documented.rpartition("Every verb has")[2]))
    for row in rows:
        (verb,) = re.findall(r"`([a-z-]+)`", row[1])
        usage = _help_of(parser, verb)
        offered = set(re.findall(r"--[a-z-]+", usage)) - {"--help", "--prefix"}
        assert offered == set(re.findall(r"--[a-z-]+", row[2])) | of_all, verb


def _help_of(parser: argparse.ArgumentParser, verb: str) -> str:
    out = io.StringIO()
    with pytest.raises(SystemExit), contextlib.redirect_stdout(out):
        parser.parse_args(["durable", verb, "--help"])
    return out.getvalue()


@pytest.mark.parametrize("damaged", ["Ã¤", "â€œquoted", "\ufffd"])
def test_damaged_text_is_recognised(damaged: str) -> None:
    assert MOJIBAKE.search(damaged)


def test_text_of_other_languages_is_not_taken_for_damaged() -> None:
    assert not MOJIBAKE.search("Ångström, Âge, château, Ünïcode, 10 µs, …")


def test_the_kinds_of_reasons_are_those_of_the_reference() -> None:
    documented = section(read(REFERENCE), "### Why an instance waits")
    rows = [line.split("|")[1] for line in documented.splitlines() if line.startswith("| `")]
    assert sorted(kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)) == sorted(
        kind.value for kind in Kind
    )
