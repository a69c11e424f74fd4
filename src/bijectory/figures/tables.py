"""A typed table's columns in small panels: held-out rows filled, samples as a line; pairs as points; associations as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from .predictions import NORMAL_95
from .style import POINTS, WIDTH, Theme, name_axes, new_panels, open_axes

Floats = NDArray[np.floating]
Counts = NDArray[np.integer]

#: Inches of a small panel's figure, and points of its ticks' labels.
ACROSS, HIGH, SMALL = 2.8, 2.1, 9.0
#: Letters of a column's name under a panel, of a word beside a bar, and of a tick's label of which there may be three.
NAME, WORD, LABEL = 26, 13, 7


class Scale(NamedTuple):
    """An axis: its ends, and the value from which on it is logarithmic: NaN for never, 0 for everywhere."""

    low: float
    high: float
    knee: float


def bars_panel(theme: Theme, name: str, scale: Scale, edges: Floats, held: Counts, drawn: Counts) -> Figure:
    """Shares of held-out rows and of samples between ``edges`` (bars + 1,); counts (bars + 1,), the last of them missing values."""
    gaps = bool(held[-1] or drawn[-1])
    left, width = 0.55, ACROSS - 0.73
    boxes = [(left, 0.55, width - 0.62 * gaps, HIGH - 0.65)]
    if gaps:
        boxes.append((left + width - 0.44, 0.55, 0.4, HIGH - 0.65))
    panels = new_panels(theme, ACROSS, HIGH, *boxes)
    p, q = 100 * held / max(1, held.sum()), 100 * drawn / max(1, drawn.sum())
    axes = panels[0]
    _stairs(axes, theme, edges, p[:-1], q[:-1])
    _scaled(axes, "x", scale)
    top = 1.08 * max(float(p.max()), float(q.max()))
    for panel in panels:
        open_axes(panel)
        panel.set_ylim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.tick_params(labelsize=SMALL)
    if gaps:
        _stairs(panels[1], theme, np.array([0.0, 1.0]), p[-1:], q[-1:])
        panels[1].set(xticks=[0.5], xticklabels=["missing"], xlim=(-0.1, 1.1))
        panels[1].tick_params(axis="y", left=False, labelleft=False)
        panels[1].tick_params(axis="x", labelsize=SMALL, length=0)
        panels[1].spines["left"].set_visible(False)
    name_axes(axes, theme, shortened(name, NAME - 6 * gaps), "")
    return axes.figure  # type: ignore[return-value]


def words_panel(theme: Theme, name: str, words: Sequence[str], held: Counts, drawn: Counts) -> Figure:
    """Shares of held-out rows and of samples that hold each word; counts (words + 1,), the last of them missing values."""
    names = [shortened(word, WORD) for word in words]
    if held[-1] or drawn[-1]:
        names.append("missing")
    p, q = (100 * c[: len(names)] / max(1, c.sum()) for c in (held, drawn))
    left = 1.15
    (axes,) = new_panels(theme, ACROSS, HIGH, (left, 0.55, ACROSS - left - 0.15, HIGH - 0.65))
    at = np.arange(len(names))
    axes.barh(at, p, 0.8, color=theme.series[0], alpha=0.4, linewidth=0)
    axes.barh(at, q, 0.8, facecolor="none", edgecolor=theme.series[1], linewidth=1.4)
    axes.set(ylim=(len(names) - 0.4, -0.6), yticks=at)
    axes.set_yticklabels(names, parse_math=False)
    axes.set_xlim(0, 1.08 * max(float(p.max()), float(q.max())))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.tick_params(labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
    open_axes(axes)
    # The name stands under the whole figure: beside long words there is little room under the panel.
    axes.figure.text(
        0.5, 0.17 / HIGH, shortened(name, NAME), ha="center", color=theme.ink, fontsize=POINTS, parse_math=False
    )
    return axes.figure  # type: ignore[return-value]


def pit_panel(theme: Theme, name: str, counts: Counts) -> Figure:
    """Relative counts (bins,) of u = F(value | columns before), over the band in which 95 of 100 bars of a true model lie."""
    left = 0.55
    (axes,) = new_panels(theme, ACROSS, HIGH, (left, 0.55, ACROSS - left - 0.18, HIGH - 0.65))
    bins, n = len(counts), int(counts.sum())
    spread = NORMAL_95 * math.sqrt((bins - 1) / n)
    axes.axhspan(1 - spread, 1 + spread, color=theme.faint, alpha=0.3, linewidth=0)
    axes.stairs(counts * bins / n, np.linspace(0, 1, bins + 1), color=theme.series[0], linewidth=1.5)
    axes.axhline(1, color=theme.ink, linewidth=0.8, linestyle=(0, (5, 3)))
    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "½", "1"))
    axes.set_ylim(0, 1.1 * max(1 + spread, float(counts.max()) * bins / n))
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    axes.tick_params(labelsize=SMALL)
    open_axes(axes)
    name_axes(axes, theme, shortened(name, NAME), "")
    return axes.figure  # type: ignore[return-value]


def pair_panels(
    theme: Theme, names: tuple[str, str], scales: tuple[Scale, Scale], held: Floats, drawn: Floats
) -> Figure:
    """Two columns of held-out rows and, beside them on the same axes, of samples: (n, 2) each, NaN where one is missing."""
    left, bottom, side, between = 0.72, 0.55, 1.56, 0.26
    height = bottom + side + 0.28
    panels = new_panels(theme, WIDTH, height, (left, bottom, side, side), (left + side + between, bottom, side, side))
    for axes, points, colour, title in zip(
        panels, (held, drawn), theme.series, (f"{len(held):,} held-out rows", f"{len(drawn):,} samples"), strict=True
    ):
        # Few points are large, many so small and faint that where they lie thick can be seen.
        few = min(1.0, 300 / max(1, len(points)))
        axes.plot(*points.T, ".", color=colour, markersize=2.2 + 3 * few, alpha=0.4 + 0.4 * few, markeredgewidth=0)
        for which, scale in zip("xy", scales, strict=True):
            _scaled(axes, which, scale, 0.04)
        axes.tick_params(labelsize=SMALL)
        axes.set_title(title, color=theme.ink, fontsize=SMALL, pad=4)
        name_axes(axes, theme, shortened(names[0], 20), "")
    panels[0].set_ylabel(shortened(names[1], 20), color=theme.ink, fontsize=POINTS, parse_math=False)
    panels[1].tick_params(labelleft=False)
    return panels[0].figure  # type: ignore[return-value]


def association_matrix(theme: Theme, names: Sequence[str], values: Floats) -> Figure:
    """A matrix (k, k) of numbers in [−1, 1] with its columns' names; written out where they are few."""
    k = len(names)
    points = SMALL if k <= 16 else SMALL * 16 / k
    left, side, below = 1.6, WIDTH - 1.7, 0.62
    height = side + below + 0.32
    axes, bar = new_panels(theme, WIDTH, height, (left, below, side, side), (left, 0.34, side, 0.1))
    ramp = LinearSegmentedColormap.from_list("signed", [theme.series[1], theme.paper, theme.series[0]])
    image = axes.imshow(values, cmap=ramp, vmin=-1, vmax=1)
    numbers = [str(i + 1) for i in range(k)]
    axes.set(xticks=range(k), yticks=range(k))
    axes.xaxis.tick_top()
    axes.set_xticklabels(numbers)
    axes.set_yticklabels(
        [f"{shortened(name, 16)} {number}" for name, number in zip(names, numbers, strict=True)], parse_math=False
    )
    axes.tick_params(labelsize=points, length=0)
    axes.tick_params(axis="x", labelsize=SMALL * min(1.0, 11 / k))  # numbers of two digits stand side by side
    if k <= 10:
        for i in range(k):
            for j in range(k):
                if i != j and math.isfinite(values[i, j]):
                    # Added to 0, −0 is 0.
                    text = f"{round(values[i, j], 2) + 0.0:.2f}".replace("0.", ".").replace("-", "−")
                    ink = theme.paper if abs(values[i, j]) > 0.6 else theme.ink
                    axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=ink)
    scale = axes.figure.colorbar(image, cax=bar, orientation="horizontal")
    scale.set_ticks([-1, 0, 1], labels=["−1", "0", "1"])
    scale.outline.set(edgecolor=theme.faint, linewidth=0.7)
    bar.tick_params(colors=theme.ink, labelsize=SMALL, length=3)
    return axes.figure  # type: ignore[return-value]


def shortened(text: str, letters: int) -> str:
    """The text, or as much of it as there is room for and an ellipsis.

    >>> shortened("ocean_proximity", 10)
    'ocean_pro…'
    """
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _stairs(axes: Axes, theme: Theme, edges: Floats, held: Floats, drawn: Floats) -> None:
    axes.stairs(held, edges, fill=True, color=theme.series[0], alpha=0.4, linewidth=0)
    axes.stairs(drawn, edges, color=theme.series[1], linewidth=1.4)


def _scaled(axes: Axes, which: str, scale: Scale, margin: float = 0.0) -> None:
    """Ends, scale and at most four ticks of one axis, labelled as short as they can be told apart."""
    low, high, knee = scale
    axis = axes.xaxis if which == "x" else axes.yaxis
    if math.isnan(knee):
        room = margin * (high - low) or (0.5 if low == high else 0.0)
        low, high = low - room, high + room
        ticks = [t for t in MaxNLocator(3).tick_values(low, high) if low <= t <= high]
    else:
        least = knee or low
        ratio = (high / least) ** margin
        powers = range(math.ceil(math.log10(least) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        ticks = [10.0**power for power in powers][:: -(-len(powers) // 4) or 1]
        rescale = axes.set_xscale if which == "x" else axes.set_yscale
        rescale("symlog", linthresh=knee) if knee else rescale("log")
        low, high = (low / ratio if not knee else low - margin * knee), high * ratio
        ticks = [0.0, *ticks] if knee else ticks
        axis.set_minor_locator(NullLocator())
    if which == "x":
        axes.set_xlim(low, high)
    else:
        axes.set_ylim(low, high)
    labels = _labels(ticks)
    if len(ticks) > 2 and max(map(len, labels)) > LABEL:
        ticks, labels = [ticks[0], ticks[-1]], [labels[0], labels[-1]]
    axis.set_ticks(ticks, labels=labels)


def _labels(ticks: Sequence[float]) -> list[str]:
    short = [_short(tick) for tick in ticks]
    return short if len(set(short)) == len(short) else [f"{tick:.10g}".replace("-", "−") for tick in ticks]


def _short(value: float) -> str:
    """A number in few letters: 25k, 1.5M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:g}{letter}".replace("-", "−")
    return f"{value:g}".replace("-", "−")
