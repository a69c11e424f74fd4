"""How training went: bits per dimension over steps, on training and validation rows, above the entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from .style import POINTS, Theme, add_legend, name_axes, new_curves, open_axes

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """(step, bits/dim) pairs (n, 2) under a name."""

    name: str
    points: Points


def learning_curves(
    theme: Theme,
    train: Points,
    validation: Points,
    entropy: float | None,
    best: float | None,
    attainable: float | None = None,
    kind: str = "",
) -> Figure:
    """One run's curves; ``entropy`` is what no density can go below in the long run, ``best`` the step that was kept.

    ``attainable`` is the score of the true density on the validation rows, which are few: the line their curve really ends at.
    A ``kind`` other than exact stands beside the unit.
    """
    figure, axes = new_curves(theme)
    if len(train):
        axes.plot(*train.T, color=theme.series[0], linewidth=0.8, alpha=0.35)
        axes.plot(*smoothed(train).T, color=theme.series[0], linewidth=1.8, label="train")
    if len(validation):
        # A line of few points shows where they are; of many, only where it goes.
        marker = "o" if len(validation) < 8 else None
        axes.plot(*validation.T, color=theme.series[1], linewidth=1.8, marker=marker, label="validation")
    _frame(figure, theme, [smoothed(train), validation], entropy, kind)
    if attainable is not None:
        axes.axhline(attainable, color=theme.series[1], linewidth=1, linestyle=(0, (1, 2)), label="truth on validation")
    if best is not None and len(validation):
        value = validation[np.abs(validation[:, 0] - best).argmin(), 1]
        axes.plot([best], [value], "o", color=theme.series[1], markeredgecolor=theme.paper, markersize=7, label="kept")
    add_legend(axes, theme, loc="upper right")
    return figure


def smoothed(points: Points, width: int = 9) -> Points:
    """Each value the mean of the ``width`` around it, fewer at the ends: a row of the log holds few batches, and is noise."""
    if len(points) < 2 * width:
        return points
    sums = np.cumsum(np.insert(points[:, 1], 0, 0.0))
    at = np.arange(len(points))
    half = np.minimum(np.minimum(at, len(points) - 1 - at), width // 2)
    return np.stack([points[:, 0], (sums[at + half + 1] - sums[at - half]) / (2 * half + 1)], 1)


def compared_curves(theme: Theme, curves: Sequence[Curve], entropy: float | None, kind: str = "") -> Figure:
    """The validation curves of several runs on the same data."""
    figure, axes = new_curves(theme)
    for index, curve in enumerate(curves):
        axes.plot(
            *curve.points.T,
            color=theme.labels[index % len(theme.labels)],
            linewidth=1.8,
            linestyle=("-", "--", ":", "-.")[index // len(theme.labels) % 4],
            label=curve.name,
        )
    _frame(figure, theme, [curve.points for curve in curves], entropy, kind)
    add_legend(axes, theme, loc="upper right")
    return figure


def _frame(figure: Figure, theme: Theme, drawn: Sequence[Points], entropy: float | None, kind: str) -> None:
    axes = figure.axes[0]
    open_axes(axes)
    name_axes(axes, theme, "step", f"bits/dim ({kind})" if kind not in ("", "exact") else "bits/dim")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.margins(x=0.02)
    axes.set_ylim(*_range(drawn, entropy))
    if entropy is not None:
        axes.axhline(entropy, color=theme.ink, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            f"entropy {entropy:.4f}",
            (0.02, entropy),
            xycoords=("axes fraction", "data"),
            xytext=(0, -4),
            textcoords="offset points",
            va="top",
            fontsize=POINTS,
            color=theme.ink,
        )


def _range(drawn: Sequence[Points], entropy: float | None) -> tuple[float, float]:
    """What is worth showing: the first tenth of training falls so far that the rest would be a flat line."""
    values = np.concatenate([points[len(points) // 10 :, 1] for points in drawn if len(points)] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    low = low if entropy is None else min(low, entropy)
    room = max(high - low, 1e-3)
    return low - 0.12 * room, high + 0.05 * room
