"""The tests of the app run with what `requirements.txt`, pytest and pytest-asyncio bring, as the README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import DEVELOPMENT_PACKAGES

ROOT = Path(__file__).parents[2]
# Collects as if only the app's requirements were installed.
COLLECT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({packages!r}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import pytest
sys.exit(pytest.main(["tests", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"]))
"""


def test_the_tests_of_the_app_can_be_collected_without_the_development_packages() -> None:
    # The durable SDK brings aiohttp.
    packages = tuple(sorted(set(DEVELOPMENT_PACKAGES) - {"aiohttp"}))
    environment = {"PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", COLLECT.format(packages=packages)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    assert "test_windows.py" in ended.stdout
