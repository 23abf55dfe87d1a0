"""Faults are tried on the hosts of the end-to-end tests, and there is no host of somebody else's to be killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.conftest import account
from tests.e2e.conftest import running_host, shared_host
from tests.faults.crash_report import CrashReport

__all__ = ["account", "running_host", "shared_host"]


@pytest.fixture(scope="session")
def crash_report(request: pytest.FixtureRequest) -> Iterator[CrashReport]:
    """Filled by the crash tests; written to the documentation at their end where `--write-crash-table` asks for it."""
    report = CrashReport()
    yield report
    if request.config.getoption("--write-crash-table"):
        assert report.is_complete, "the crash table is written by a whole run of tests/faults/test_crashes.py -m soak"
        report.write()
