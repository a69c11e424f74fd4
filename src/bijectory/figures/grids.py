"""The map itself: a regular grid of the data's plane and where it goes; on the line, the learned CDF."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .densities import Box, plane
from .style import Theme, add_legend, name_axes, new_curves, new_square, open_axes

Floats = NDArray[np.floating]

# Along each family the shade tells the lines apart, and the hue the families: a line can be followed from one panel to the other.
_HUES = {
    "light": (("#0b3a82", "#6ea8e8"), ("#8a3600", "#f2a15c")),
    "dark": (("#3f7fd6", "#c4defd"), ("#d9691a", "#ffdcb8")),
}


def _hues(theme: Theme) -> list[Colormap]:
    return [LinearSegmentedColormap.from_list("family", ends) for ends in _HUES[theme.name]]


def _lines(figure: Figure, theme: Theme, lines: Floats, family: NDArray[np.integer]) -> None:
    axes = figure.axes[0]
    for index, ramp in enumerate(_hues(theme)):
        members = lines[family == index]
        axes.add_collection(
            LineCollection(list(members), linewidths=0.8, colors=ramp(np.linspace(0, 1, len(members))), alpha=0.9)
        )


def grid_of_data(
    theme: Theme, lines: Floats, family: NDArray[np.integer], box: Box, columns: tuple[str, ...]
) -> Figure:
    """Lines (lines, points, 2) of constant x1 in blue, of constant x2 in orange; NaN breaks a line."""
    figure, _ = new_square(theme)
    _lines(figure, theme, lines, family)
    plane(figure, theme, box, columns)
    return figure


def grid_of_latents(theme: Theme, lines: Floats, family: NDArray[np.integer]) -> Figure:
    """The same lines in the unit square."""
    figure, axes = new_square(theme)
    _lines(figure, theme, lines, family)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    name_axes(axes, theme, "CDF of z1", "CDF of z2")
    return figure


def learned_cdf(theme: Theme, x: Floats, cdf: Floats, true_cdf: Floats | None, column: str) -> Figure:
    """The map of one column, x (points,) to u = F(x) (points,)."""
    figure, axes = new_curves(theme)
    if true_cdf is not None:
        axes.plot(x, true_cdf, color=theme.faint, linewidth=4, alpha=0.6, label="true")
    axes.plot(x, cdf, color=theme.series[0], linewidth=1.8, label="learned")
    axes.set(ylim=(0, 1), yticks=(0, 0.5, 1))
    axes.margins(x=0)
    open_axes(axes)
    name_axes(axes, theme, column, "u = CDF of z1")
    add_legend(axes, theme, loc="upper left")
    return figure
