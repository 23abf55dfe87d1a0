"""What the requirement files name: pinned versions, and all that the tests of the app need, as the README says."""

from __future__ import annotations

import re
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


def test_every_package_that_durablehost_and_the_tests_use_is_pinned() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("requirements.txt", "requirements-dev.txt")]
    lines = [line.partition("#")[0].strip() for text in texts for line in text.splitlines()]
    named = [line for line in lines if line and not line.startswith("-")]
    ranges = [line for line in named if "==" not in line.partition(";")[0]]
    # Apps choose their versions of these.
    assert all(re.match(r"azure-functions(-durable)?>=[\d.]+,<\d", line) for line in ranges), ranges
    project = (ROOT / "packages" / "durablehost" / "pyproject.toml").read_text("utf-8")
    dependencies = project.partition("\ndependencies = [\n")[2].partition("]")[0]
    wanted = set(re.findall(r'"([\w-]+)', dependencies))
    assert len(wanted) > 5
    assert wanted - {line.partition("==")[0].partition("[")[0] for line in named} == set()
