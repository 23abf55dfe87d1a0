"""What every layer of tests shares: one Azurite per run, and a task hub name per test.

Rule of this file: it imports nothing that an environment of `requirements.txt`, pytest and pytest-asyncio lacks.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Generator, Iterator

import pytest

from devhost import azurite as emulator
from devhost.errors import ConfigurationError

DEVELOPMENT_PACKAGES = ("aiohttp", "anyio", "azure.data", "azure.storage", "hypothesis", "psutil")


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here and not in tests/e2e: pytest reads options from the topmost conftest only.
    parser.addoption(
        "--base-url", metavar="URL", help="run the end-to-end tests against a host that is running already"
    )
    parser.addoption(
        "--write-crash-table",
        action="store_true",
        help="write what the soak tests of crashes measure into docs/durability.md",
    )


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Azurite]:
    """The run's Azurite, on free ports and a folder of its own; every test brings its own `hub_name`."""
    try:
        emulator.find_command()
    except ConfigurationError as missing:
        # In CI a missing emulator must not pass for a green run.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
    location = tmp_path_factory.mktemp("azurite")
    with emulator.start(location=location, ports=emulator.free_ports()) as running:
        yield running


@pytest.fixture
def hub_name() -> str:
    """A task hub name no other test has: 3 to 45 letters and digits, a letter first."""
    return f"Test{uuid.uuid4().hex[:16]}"


@pytest.fixture(autouse=True)
def _azurite_where_marked(request: pytest.FixtureRequest) -> None:
    """Lets a test that reaches the emulator by other ways say so with the mark alone."""
    if request.node.get_closest_marker("azurite") is not None:
        request.getfixturevalue("azurite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that uses the emulator, so that `-m "not azurite"` finds it without a decorator."""
    for item in items:
        if "azurite" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.azurite)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skips a file that imports what only requirements-dev.txt brings; for the rest the app's own will do."""
    report = yield
    missing = re.search(r"No module named '([\w.]+)'", str(report.longrepr)) if report.failed else None
    if missing and missing[1].startswith(DEVELOPMENT_PACKAGES) and not os.environ.get("CI"):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: needs {missing[1]}, which is in requirements-dev.txt")
    return report
