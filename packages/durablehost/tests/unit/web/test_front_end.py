"""The pure modules of the console, tested by Node, which Azurite needs anyway; and that every module is valid."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from durablehost.emulator.node import find_node
from durablehost.web.console.site import _STATIC

TESTS = sorted((Path(__file__).parent / "front_end").glob("*.test.mjs"))
MODULES = sorted(_STATIC.glob("*.mjs"))
SECONDS = 300


@pytest.fixture(scope="module")
def node() -> str:
    found = find_node()
    if found is None:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("needs Node.js 20.6 or newer")
    return found


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.name)
def test_the_pure_modules_do_what_their_tests_say(node: str, test: Path) -> None:
    environment = {**os.environ, "STATIC": _STATIC.as_uri(), "TZ": "UTC", "NO_COLOR": "1"}
    ran = subprocess.run([node, "--test", str(test)], env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_module_can_be_parsed(node: str, module: Path) -> None:
    ran = subprocess.run([node, "--check", str(module)], capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
