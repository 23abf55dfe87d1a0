"""Keeps the variables of OpenTelemetry of the developer's shell, and of other tests, from the tests of traces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from durablehost.traces.options import PREFIX


@pytest.fixture(autouse=True)
def _no_variables() -> Iterator[None]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    # Undoes, too, that a tracer sets the variables of the SDK for the process.
    with patch.dict(os.environ, others, clear=True):
        yield
