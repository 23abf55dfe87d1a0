"""The names of the tests, which must be the same in every process that shares a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_another_process_collects_the_same_tests_at_another_time(request: pytest.FixtureRequest) -> None:
    # Two processes that collect different names end the whole run. Names differ where a parameter without an id of its
    # own holds a time (as gzip does), a random value, or a set.
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTEST_ADDOPTS": ""}
    collected = subprocess.run(
        command, cwd=Path(__file__).parents[3], env=environment, capture_output=True, text=True, timeout=300
    )

    assert collected.returncode == 0, collected.stdout[-2000:] + collected.stderr
    here = {item.nodeid for item in request.session.items}
    assert here - set(collected.stdout.splitlines()) == set()
