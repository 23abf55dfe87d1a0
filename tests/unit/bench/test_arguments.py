"""The arguments of `dev.py bench`, and the one line for wrong ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.arguments import CHUNKS, SECTIONS, parse_arguments


def test_without_arguments_everything_is_measured_five_times() -> None:
    arguments = parse_arguments([])

    assert (arguments.sections, arguments.chunks, arguments.runs) == (SECTIONS, CHUNKS, 5)
    assert not arguments.as_json


def test_the_documentation_names_every_section() -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "packages" / "durablehost" / "docs" / "performance.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| `--only ")]
    assert tuple(re.findall(r"`([a-z-]+)`", row.split("|")[2])) == SECTIONS


def test_sections_are_measured_once_each_and_in_their_own_order() -> None:
    assert parse_arguments(["--only", "many,limit,many"]).sections == ("limit", "many")


def test_numbers_of_chunks_are_measured_once_each_the_smallest_first() -> None:
    assert parse_arguments(["--chunks", "100,1,100"]).chunks == (1, 100)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "speed"], "there is no section 'speed'; there are: limit, fanout, latency"),
        (["--only", "limit,"], "there is no section ''"),
        (["--chunks", "0"], "'0' is not a whole number from 1 to 10000"),
        (["--chunks", "10,x"], "'x' is not a whole number from 1 to 10000"),
        (["--chunks", "10001"], "'10001' is not a whole number"),
        (["--runs", "0"], "'0' is not a whole number from 1 to 100"),
        (["--fast"], "unrecognized arguments"),
    ],
)
def test_a_wrong_argument_ends_with_one_line_and_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert told in said
    assert said.count("\n") == 1
