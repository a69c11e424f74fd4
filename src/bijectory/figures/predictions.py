"""How well a conditional density of one number is calibrated: the PIT's histogram, coverage of intervals, and the intervals themselves."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import Theme, add_legend, name_axes, new_curves, new_square, open_axes

Floats = NDArray[np.floating]

#: A normal's 95 % interval, in deviations.
NORMAL_95 = 1.96


def pit_histogram(theme: Theme, counts: NDArray[np.integer]) -> Figure:
    """Relative counts (bins,) of PIT values, and the band in which 95 of 100 bars of a true model lie."""
    figure, axes = new_curves(theme)
    bins, n = len(counts), int(counts.sum())
    spread = NORMAL_95 * math.sqrt((bins - 1) / n)
    axes.axhspan(1 - spread, 1 + spread, color=theme.faint, alpha=0.3, linewidth=0, label="95 of 100 bars, if true")
    edges = np.linspace(0, 1, bins + 1)
    axes.stairs(counts * bins / n, edges, color=theme.series[0], linewidth=1.6, label="test rows")
    axes.axhline(1, color=theme.ink, linewidth=1, linestyle=(0, (5, 3)))
    axes.set(xlim=(0, 1), xticks=(0, 0.25, 0.5, 0.75, 1))
    axes.set_ylim(0, 1.25 * max(1 + spread, float(counts.max()) * bins / n))
    open_axes(axes)
    name_axes(axes, theme, "F(y | c)", "relative to uniform")
    add_legend(axes, theme, loc="upper center", ncols=2)
    return figure


def coverage_plot(theme: Theme, level: Floats, coverage: Floats, stderr: Floats) -> Figure:
    """Shares of rows inside their central intervals (levels,) over the intervals' probabilities, with two standard errors."""
    figure, axes = new_square(theme)
    axes.plot([0, 1], [0, 1], color=theme.ink, linewidth=1, linestyle=(0, (5, 3)))
    axes.errorbar(
        level,
        coverage,
        yerr=2 * stderr,
        fmt="o",
        color=theme.series[0],
        markersize=6,
        capsize=4,
        elinewidth=1.4,
    )
    low = max(0.0, 0.1 * math.floor(10 * min(float(level.min()), float((coverage - 2 * stderr).min())) - 0.5))
    axes.set(xlim=(low, 1.02), ylim=(low, 1.02), aspect="equal")
    ticks = [round(tick, 1) for tick in np.linspace(low, 1, round(10 * (1 - low)) + 1)][:: 1 if low >= 0.3 else 2]
    axes.set(xticks=ticks, yticks=ticks)
    name_axes(axes, theme, "probability of the interval", "share of test rows inside")
    return figure


def interval_plot(theme: Theme, y: Floats, quantiles: Floats, column: str) -> Figure:
    """Rows in the order of their medians: y (k,), quantiles (5, k) at 5, 25, 50, 75 and 95 %."""
    figure, axes = new_curves(theme)
    at = np.arange(1, len(y) + 1)
    axes.vlines(at, quantiles[0], quantiles[4], color=theme.series[0], alpha=0.35, linewidth=2, label="90 %")
    axes.vlines(at, quantiles[1], quantiles[3], color=theme.series[0], alpha=0.8, linewidth=3, label="50 %")
    axes.plot(at, y, "o", color=theme.series[1], markersize=3.5, label="observed")
    axes.margins(x=0.02)
    low, high = min(float(quantiles[0].min()), float(y.min())), max(float(quantiles[4].max()), float(y.max()))
    axes.set_ylim(low - 0.05 * (high - low), high + 0.25 * (high - low))
    open_axes(axes)
    name_axes(axes, theme, "test rows, in the order of their medians", f"{column}, in its own unit")
    add_legend(axes, theme, loc="upper left", ncols=3, columnspacing=0.9)
    return figure
