"""The fixtures of every layer of tests: one Azurite per run, and a task hub name per test.

Rule of this file: it imports nothing that an environment of `requirements.txt`, pytest and pytest-asyncio lacks.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import uuid
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest

from durablehost.emulator import azurite as emulator
from durablehost.errors import ConfigurationError

with suppress(ModuleNotFoundError):
    from hypothesis import settings

    # No test asserts speed: a busy machine is slow at any time.
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")

# What a test makes counts as that of its user alone, whatever the umask of the one who starts the tests.
os.umask(0o022)

DEVELOPMENT_PACKAGES = (
    "aiohttp",
    "anyio",
    "azure.data",
    "azure.storage.queue",
    "duckdb",
    "hypothesis",
    "opentelemetry",
    "pandas",
    "psutil",
    "pyarrow",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here and not in tests/e2e: pytest reads options from the topmost conftest only.
    parser.addoption(
        "--base-url", metavar="URL", help="run the end-to-end tests against a host that is running already"
    )
    parser.addoption(
        "--write-crash-table",
        action="store_true",
        help="write what the soak tests of crashes measure into durability.md",
    )
    parser.addoption(
        "--write-answers",
        action="store_true",
        help="record the answers of the real engine for the tests that compare durablehost with them",
    )


def pytest_configure() -> None:
    """Has the programs under test end at Ctrl+C and with the terminal, whoever has started the tests.

    A shell starts programs in the background, and `nohup` starts all, with signals that stay ignored in each process
    that they start.
    """
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def _levels() -> dict[logging.Logger, int]:
    known = logging.root.manager.loggerDict.values()
    return {each: each.level for each in (logging.root, *known) if isinstance(each, logging.Logger)}


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restores what a host that runs in the process of a test sets: other tests read what is logged."""
    before, handlers = _levels(), logging.root.handlers
    yield
    for logger, level in _levels().items():
        if level != before.get(logger, logging.NOTSET):
            logger.setLevel(before.get(logger, logging.NOTSET))
    # pytest removes its own handlers from the list that it knows.
    logging.root.handlers = handlers
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Azurite]:
    """The run's Azurite, on free ports and a folder of its own; every test brings its own `hub_name`."""
    try:
        emulator.find_command()
    except ConfigurationError as missing:
        # In CI a missing emulator must not look like a passed run.
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
    """Starts the emulator for a test that has the mark but not the fixture."""
    if request.node.get_closest_marker("azurite") is not None:
        request.getfixturevalue("azurite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that uses the emulator, so that `-m "not azurite"` finds it without a decorator."""
    for item in items:
        if "azurite" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.azurite)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Renders the traceback of a failed test undisturbed.

    Where a garbage collection logs another traceback meanwhile, Python 3.11 ends the run with "AST constructor
    recursion depth mismatch".
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skips a file that imports a package of requirements-dev.txt, which is not installed."""
    report = yield
    missing = re.search(r"No module named '([\w.]+)'", str(report.longrepr)) if report.failed else None
    if missing and missing[1].startswith(DEVELOPMENT_PACKAGES) and not os.environ.get("CI"):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: needs {missing[1]}, which is in requirements-dev.txt")
    return report
