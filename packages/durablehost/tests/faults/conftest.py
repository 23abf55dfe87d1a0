"""Fixtures of the fault tests, which kill only hosts that they started themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.durablehost.tests.contract.conftest import account
from packages.durablehost.tests.e2e.conftest import running_host, shared_host
from packages.durablehost.tests.faults.crash_report import CrashReport
from packages.durablehost.tests.faults.figures import Figures

__all__ = ["account", "running_host", "shared_host"]


@pytest.fixture(scope="session")
def crash_report(request: pytest.FixtureRequest) -> Iterator[CrashReport]:
    """Collects the results of the crash tests; `--write-crash-table` writes complete ones into the documentation."""
    report = CrashReport()
    yield report
    if request.config.getoption("--write-crash-table") and report.is_complete:
        report.write()


@pytest.fixture(scope="session")
def soak_figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Collects the measurements of soak tests; written like the crash table."""
    figures = Figures()
    yield figures
    if request.config.getoption("--write-crash-table"):
        figures.write()
