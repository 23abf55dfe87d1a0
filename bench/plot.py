"""Plots the time of a fan-out against N: where a line bends up, the cost of a chunk grows with N.

The only module that imports matplotlib, which is not a requirement of the project.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from bench.report import Document, seconds_by_chunks

# Neighbours in this colour map are two shades of one colour.
_COLORS = colormaps["tab20"]([*range(0, 20, 2), *range(1, 20, 2)])


def draw(document: Document, title: str, file: Path) -> None:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=_COLORS)
    curves = seconds_by_chunks(document)
    for name, seconds in curves.items():
        axes.plot(list(seconds), list(seconds.values()), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="chunks that do nothing", ylabel="seconds", title=title)
    axes.set_xticks(sorted({chunks for seconds in curves.values() for chunks in seconds}), minor=False)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(file, dpi=120)
