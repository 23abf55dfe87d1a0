"""The settings that turn something on in a worker process."""

from __future__ import annotations

import os

_ON = ("1", "true", "t", "yes", "y")


def is_on(setting: str) -> bool:
    """Whether the environment has one of the values that the Azure worker accepts."""
    return os.environ.get(setting, "").lower() in _ON
