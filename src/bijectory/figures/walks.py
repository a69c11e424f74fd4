"""How likely a model finds the pictures on its ways between others: curves above what the ends need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import Theme, add_legend, name_axes, new_curves, open_axes

#: Letters of a name for which the legend has room.
ROOM = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Between:
    """The ways of one run: bits/dim above the mean of both ends, (steps,) with standard errors, and halfway where pixels are averaged."""

    name: str
    above: Floats
    stderr: Floats
    blend: float


def compared_ways(theme: Theme, runs: Sequence[Between]) -> Figure:
    """Curves of several runs over the way from one end to the other; a cross is the average of both ends' pixels."""
    figure, axes = new_curves(theme)
    axes.axhline(0, color=theme.faint, linewidth=1)
    for index, run in enumerate(runs):
        colour = theme.labels[index % len(theme.labels)]
        style = ("-", "--", ":", "-.")[index // len(theme.labels) % 4]
        t = np.linspace(0, 1, len(run.above))
        axes.errorbar(
            t, run.above, run.stderr, color=colour, linestyle=style, linewidth=1.8, capsize=3, marker="o", markersize=4
        )
        axes.plot([], [], color=colour, linestyle=style, linewidth=1.8, label=_short(run.name))
        axes.plot([0.5], [run.blend], "x", color=colour, markersize=8, markeredgewidth=2)
    low, high = axes.get_ylim()
    # Room for the names above the curves.
    axes.set_ylim(low, high + (0.1 + 0.09 * len(runs)) * (high - low))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["one end", "¼", "½", "¾", "other"])
    open_axes(axes)
    name_axes(axes, theme, "part of the way, in latent space", "bits/dim above both ends")
    add_legend(axes, theme, loc="upper center")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= ROOM else f"{name[: ROOM - 1]}…"
