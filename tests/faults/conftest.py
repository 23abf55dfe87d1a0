"""Faults are tried on the hosts of the end-to-end tests, and there is no host of somebody else's to be killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.conftest import account
from tests.e2e.conftest import running_host, shared_host
from tests.faults.crash_report import CrashReport
from tests.faults.figures import Figures

__all__ = ["account", "running_host", "shared_host"]


@pytest.fixture(scope="session")
def crash_report(request: pytest.FixtureRequest) -> Iterator[CrashReport]:
    """Filled by the crash tests; `--write-crash-table` writes it into the documentation, if nothing is missing."""
    report = CrashReport()
    yield report
    if request.config.getoption("--write-crash-table") and report.is_complete:
        report.write()


@pytest.fixture(scope="session")
def soak_figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Filled by soak tests that measure something; written as the crash table is."""
    figures = Figures()
    yield figures
    if request.config.getoption("--write-crash-table"):
        figures.write()
