"""Latents through the base's CDF, in the unit square or interval, coloured by label; and the same rows where they came from."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .densities import Box, plane
from .style import Theme, above, add_legend, label_colour, name_axes, new_square, open_axes

Floats = NDArray[np.floating]
Labels = NDArray[np.integer] | None

#: Past so many classes a legend says less than it hides.
MOST = 8


def latent_square(theme: Theme, u: Floats, labels: Labels) -> Figure:
    """Latents (n, 2) in the unit square."""
    figure, axes = new_square(theme, legend=_keyed(labels))
    _scatter(figure, theme, u, labels)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    name_axes(axes, theme, "CDF of z1", "CDF of z2")
    return figure


def labelled_rows(theme: Theme, x: Floats, labels: Labels, box: Box, columns: tuple[str, ...]) -> Figure:
    """Rows (n, 2) of the data, coloured by label."""
    figure, _ = new_square(theme, legend=_keyed(labels))
    _scatter(figure, theme, x, labels)
    plane(figure, theme, box, columns)
    return figure


def _keyed(labels: Labels) -> bool:
    return labels is not None and 1 < len(np.unique(labels)) <= MOST


def _scatter(figure: Figure, theme: Theme, x: Floats, labels: Labels) -> None:
    axes = figure.axes[0]
    colours = theme.series[0] if labels is None else [label_colour(theme, int(label)) for label in labels]
    axes.scatter(x[:, 0], x[:, 1], s=5, c=colours, alpha=0.7, linewidths=0, clip_on=False)
    if labels is not None and _keyed(labels):
        classes = [int(label) for label in np.unique(labels)]
        keys = [
            Line2D([], [], linestyle="", marker="o", markersize=6, color=label_colour(theme, c), label=f"class {c}")
            for c in classes
        ]
        add_legend(axes, theme, handles=keys, **above(len(keys)))


def latent_histogram(theme: Theme, u: Floats, labels: Labels, bins: int = 20) -> Figure:
    """Latents (n,) in the unit interval, classes stacked; a uniform latent fills every bin up to 1."""
    figure, axes = new_square(theme, legend=_keyed(labels))
    edges = np.linspace(0, 1, bins + 1)
    base = np.zeros(bins)
    classes = [None] if labels is None else [int(label) for label in np.unique(labels)]
    for label in classes:
        members = u if label is None or labels is None else u[labels == label]
        share = np.histogram(members, edges)[0] * bins / len(u)
        colour = theme.series[0] if label is None else label_colour(theme, label)
        axes.bar(
            edges[:-1],
            share,
            1 / bins,
            bottom=base,
            align="edge",
            color=colour,
            edgecolor=theme.paper,
            linewidth=0.6,
            label=None if label is None else f"class {label}",
        )
        base += share
    axes.axhline(1, color=theme.ink, linewidth=1, linestyle=(0, (5, 3)))
    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1))
    open_axes(axes)
    name_axes(axes, theme, "CDF of z1", "share per unit")
    if _keyed(labels):
        add_legend(axes, theme, **above(len(classes)))
    return figure
