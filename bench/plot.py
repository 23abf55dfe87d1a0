"""The time that a fan-out takes against N, as a picture: where a line bends up, the cost of a chunk grows with N.

The only module that imports matplotlib, which is no requirement of the project.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure

from bench.report import Document, seconds_by_chunks


def draw(document: Document, title: str, file: Path) -> None:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))
    for name, seconds in seconds_by_chunks(document).items():
        axes.plot(list(seconds), list(seconds.values()), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="chunks that do nothing", ylabel="seconds", title=title)
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(file, dpi=120)
