"""Figures as they are reported: medians, percentiles, and their names."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]
# The section, the number of chunks or another key in it, and the figures.
Measured = tuple[str, str, Figures]
Say = Callable[[str], None]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def in_milliseconds(name: str, seconds: Sequence[float]) -> Figures:
    return {
        f"{name}_p50_ms": 1000 * statistics.median(seconds),
        f"{name}_p95_ms": 1000 * percentile(seconds, 0.95),
    }
