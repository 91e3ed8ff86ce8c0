"""Draw the chart: CPU per poll of each client, on a logarithmic scale."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.report import CLIENTS

if TYPE_CHECKING:
    from benchmarks.results import Results

PATH = Path(__file__).with_name("chart.svg")
_OURS, _OTHERS = "#0b6bcb", "#9aa5b1"


def svg(results: Results) -> str:
    """Return the chart as SVG; equal results give equal text."""
    names = list(reversed(CLIENTS))
    cpu = [results.polling[name].cpu for name in names]
    # Text instead of paths: smaller, and searchable.
    with mpl.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        colors = [_OURS if "provider" in CLIENTS[name] else _OTHERS for name in names]
        bars = axes.barh([_plain(CLIENTS[name]) for name in names], cpu, color=colors)
        axes.bar_label(bars, [f"{value:,.0f} µs" for value in cpu], padding=4)
        axes.set_xscale("log")
        axes.set_xlim(min(cpu) / 4, max(cpu) * 4)
        axes.set_xlabel("client CPU per poll under TLS in µs, logarithmic: shorter is better")
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _plain(markdown: str) -> str:
    return markdown.replace("`", "").replace("*", "").replace("¹", "")
