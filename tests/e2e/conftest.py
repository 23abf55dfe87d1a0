"""The hosts of durablehost's own tests, for the tests that run this app."""

from __future__ import annotations

from packages.durablehost.tests.e2e.conftest import app_url, running_host, shared_host
from packages.durablehost.tests.hostile.conftest import hostile_app, target

__all__ = ["app_url", "hostile_app", "running_host", "shared_host", "target"]
