"""Faults are tried on the hosts of the end-to-end tests, and there is no host of somebody else's to be killed."""

from __future__ import annotations

from tests.e2e.conftest import running_host, shared_host

__all__ = ["running_host", "shared_host"]
