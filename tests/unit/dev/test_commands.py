"""How dev.py reads its command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dev


def test_soak_tests_are_left_out_unless_a_mark_expression_is_given() -> None:
    assert dev.pytest_arguments(["-k", "window"]) == ["-m", "not soak", "-k", "window"]


@pytest.mark.parametrize("arguments", [["-m", "soak"], ["-msoak"], ["tests/unit", "-m", "azurite"]])
def test_a_mark_expression_of_the_caller_stands_alone(arguments: list[str]) -> None:
    assert dev.pytest_arguments(arguments) == arguments


def test_an_unknown_command_is_one_line_that_names_the_known_ones(capfd: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["tset"]) == 2

    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "dev.py: there is no command 'tset'; there are: demo, start, test, bench, check.\n"


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_without_a_command_the_usage_is_printed(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert dev.main(arguments) == 0

    usage = capfd.readouterr().out
    assert all(f"\n  {command} " in usage for command in dev.COMMANDS)


def test_check_takes_no_arguments() -> None:
    assert dev.main(["check", "--fix"]) == 2


@pytest.mark.parametrize("command", ["demo", "bench"])
def test_wrong_arguments_are_told_before_any_set_up(command: str, tmp_path: Path) -> None:
    script = tmp_path / "dev.py"
    script.write_text(Path(dev.__file__).read_text("utf-8"), "utf-8")
    # A copy without requirements or lock file: set-up could only fail there.
    for package in ("demo", "bench"):
        shutil.copytree(dev.ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("results"))

    answer = subprocess.run([sys.executable, str(script), command, "--chunks", "many"], capture_output=True, text=True)

    assert answer.returncode == 2
    assert answer.stderr.splitlines() == [
        f"dev.py {command}: argument --chunks: 'many' is not a whole number from 1 to 10000"
    ]
