"""Measures what processes use during a run: CPU seconds, and the most memory.

The only module that imports psutil.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import psutil

_SAMPLE_SECONDS = 0.2
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Usage:
    cpu_seconds: float
    peak_rss_mb: float


class Watch:
    """Watches groups of processes during a `with` block; `usage` has the figures after it."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = {name: [psutil.Process(pid) for pid in pids] for name, pids in groups.items()}
        self._peaks = dict.fromkeys(groups, 0)
        self._cpu_before: dict[str, float] = {}
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample_until_ended, name="usage", daemon=True)
        self.usage: dict[str, Usage] = {}

    def __enter__(self) -> Watch:
        self._cpu_before = self._cpu_seconds()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._sampler.join()
        if kind is None:
            self._sample()
            cpu = self._cpu_seconds()
            self.usage = {
                name: Usage(cpu_seconds=cpu[name] - self._cpu_before[name], peak_rss_mb=self._peaks[name] / _MEGABYTE)
                for name in self._groups
            }

    def _cpu_seconds(self) -> dict[str, float]:
        return {name: sum(_cpu_seconds(each) for each in processes) for name, processes in self._groups.items()}

    def _sample_until_ended(self) -> None:
        self._sample()
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        for name, processes in self._groups.items():
            self._peaks[name] = max(self._peaks[name], sum(_rss(each) for each in processes))


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
