"""Densities, and the rows drawn from them: heat maps and points in the plane, curves and histograms on the line."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import POINTS, Theme, add_legend, bar_axes, density_norm, name_axes, new_curves, new_square, open_axes

Floats = NDArray[np.floating]
Box = tuple[Floats, Floats]


def density_map(theme: Theme, density: Floats, box: Box, columns: tuple[str, ...], peak: float) -> Figure:
    """A density (cells, cells) over the plane; colours run from 0 to ``peak``, whoever's density it is."""
    figure, axes = new_square(theme, bar=True)
    (x_low, y_low), (x_high, y_high) = box
    image = axes.imshow(
        density,
        origin="lower",
        extent=(x_low, x_high, y_low, y_high),
        cmap=theme.ramp,
        norm=density_norm(peak),
        interpolation="bilinear",
        aspect=plane_aspect(box),
    )
    bar = figure.colorbar(image, cax=bar_axes(figure, theme), orientation="horizontal")
    shares = (0, 0.04, 0.16, 0.36, 0.64, 1)
    bar.set_ticks([peak * share for share in shares], labels=[f"{peak * share:.2g}" for share in shares])
    bar.ax.tick_params(colors=theme.ink, labelsize=POINTS - 1, length=3, width=0.7)
    bar.outline.set(edgecolor=theme.faint, linewidth=0.7)
    bar.set_label("density per unit area", color=theme.ink, fontsize=POINTS - 1, labelpad=1)
    name_axes(axes, theme, *columns)
    return figure


def plane_points(theme: Theme, x: Floats, box: Box, columns: tuple[str, ...]) -> Figure:
    """Rows (n, 2) as points, so faint that where they lie thick can be seen."""
    figure, axes = new_square(theme)
    axes.plot(*x.T, ".", color=theme.series[0], markersize=2.4, alpha=0.4, markeredgewidth=0)
    plane(figure, theme, box, columns)
    return figure


def plane(figure: Figure, theme: Theme, box: Box, columns: tuple[str, ...]) -> None:
    """Make the figure's axes those of the plane, as density maps have them."""
    axes = figure.axes[0]
    axes.set(xlim=(box[0][0], box[1][0]), ylim=(box[0][1], box[1][1]), aspect=plane_aspect(box))
    name_axes(axes, theme, *columns)


def plane_aspect(box: Box) -> Literal["equal", "auto"]:
    """Equal units on both axes, unless one is so much longer that the panel would be half empty."""
    sides = box[1] - box[0]
    return "equal" if sides.max() <= 1.25 * sides.min() else "auto"


def density_line(theme: Theme, x: Floats, learned: Floats, true: Floats | None, column: str) -> Figure:
    """Densities over one column, (cells,) each."""
    figure, axes = new_curves(theme)
    if true is not None:
        axes.fill_between(x, true, color=theme.faint, alpha=0.3, linewidth=0, label="true")
    axes.plot(x, learned, color=theme.series[0], linewidth=1.8, label="learned")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    open_axes(axes)
    name_axes(axes, theme, column, "density per unit")
    add_legend(axes, theme, loc="upper right")
    return figure


def line_samples(theme: Theme, samples: Floats, data: Floats, box: Box, column: str) -> Figure:
    """Histograms of samples and of data rows, (n,) each, in the same bins."""
    figure, axes = new_curves(theme)
    bins = np.linspace(float(box[0][0]), float(box[1][0]), 61).tolist()
    axes.hist(data, bins, density=True, color=theme.faint, alpha=0.4, label="data")
    axes.hist(samples, bins, density=True, histtype="step", color=theme.series[0], linewidth=1.6, label="samples")
    axes.margins(x=0)
    open_axes(axes)
    name_axes(axes, theme, column, "share per unit")
    add_legend(axes, theme, loc="upper right")
    return figure
