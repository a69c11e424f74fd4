"""What models cost: bars of seconds, on a scale of powers of ten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import POINTS, Theme, add_legend, name_axes, new_curves, open_axes

Floats = NDArray[np.floating]


def cost_bars(theme: Theme, tasks: Sequence[str], models: Sequence[str], seconds: Floats) -> Figure:
    """Median milliseconds of each task and model, seconds (tasks, models, repeats), with the least and the largest."""
    figure, axes = new_curves(theme)
    width = 0.8 / len(models)
    middle = 1000 * np.median(seconds, -1)
    least, most = 1000 * seconds.min(-1), 1000 * seconds.max(-1)
    for index, model in enumerate(models):
        at = np.arange(len(tasks)) + (index - (len(models) - 1) / 2) * width
        axes.bar(
            at,
            middle[:, index],
            0.92 * width,
            yerr=[middle[:, index] - least[:, index], most[:, index] - middle[:, index]],
            color=theme.labels[index % len(theme.labels)],
            ecolor=theme.ink,
            error_kw={"linewidth": 1, "capsize": 3},
            label=model,
        )
        for place, value, top in zip(at, middle[:, index], most[:, index], strict=True):
            text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            axes.annotate(
                text,
                (place, top),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=POINTS - 1,
                color=theme.ink,
            )
    axes.set_yscale("log")
    axes.set_ylim(0.5 * float(least.min()), 6 * float(most.max()))
    axes.set_xticks(range(len(tasks)), tasks)
    open_axes(axes)
    name_axes(axes, theme, "", "milliseconds")
    add_legend(axes, theme, loc="upper left", ncols=len(models))
    return figure
