"""From the arrays of predictions and of costs to their plates, with captions and words that carry the numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .costs import cost_bars
from .plate import Arrays, Plate
from .predictions import coverage_plot, interval_plot, pit_histogram

Columns = tuple[str, ...]


def _calibration_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    counts, n = arrays["counts"], int(arrays["n"])
    level, coverage, stderr = arrays["level"], arrays["coverage"], arrays["stderr"]
    relative = counts * len(counts) / max(1, n)
    shares = "; ".join(
        f"{100 * c:.1f} ± {100 * e:.1f} % inside the central {100 * a:.0f} % intervals"
        for a, c, e in zip(level, coverage, stderr, strict=True)
    )
    return [
        Plate(
            "pit",
            f"Where {n:,} test rows lie in their predicted distributions: a ∪ means too narrow, a ∩ too wide, a slope too low or too high",
            f"Histogram of F(y | c) in {len(counts)} bins, relative to uniform from {relative.min():.2f} to {relative.max():.2f}; first "
            f"bin {relative[0]:.2f}, last {relative[-1]:.2f}. χ² = {float(arrays['chi_square']):.1f}, Kolmogorov–Smirnov distance "
            f"{float(arrays['distance']):.4f}.",
            lambda theme: pit_histogram(theme, counts),
        ),
        Plate(
            "coverage",
            "Coverage of central intervals, ± two standard errors",
            f"Coverage: {shares}.",
            lambda theme: coverage_plot(theme, level, coverage, stderr),
        ),
    ]


def _interval_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    y, quantiles = arrays["y"], arrays["quantiles"]
    inside = float(np.mean((y >= quantiles[0]) & (y <= quantiles[4])))
    wide = float(np.median(quantiles[4] - quantiles[0]))
    return [
        Plate(
            "intervals",
            f"{len(y)} test rows and their predicted intervals",
            f"{len(y)} test rows with central intervals of {columns[0]}: the median width of the 90 % ones is {wide:.3g}, and "
            f"{100 * inside:.0f} % of the rows lie inside.",
            lambda theme: interval_plot(theme, y, quantiles, columns[0]),
        )
    ]


def _cost_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    models, tasks = ([str(name) for name in arrays[key]] for key in ("models", "tasks"))
    seconds, rows = arrays["seconds"], arrays["rows"]
    middle = 1000 * np.median(seconds, -1)
    words = "; ".join(
        f"{task} of {count:,} rows: "
        + ", ".join(f"{model} {value:.1f} ms" for model, value in zip(models, line, strict=True))
        for task, count, line in zip(tasks, rows, middle, strict=True)
    )
    named = [f"{task}\n{count:,} rows" for task, count in zip(tasks, rows, strict=True)]
    return [
        Plate(
            "cost",
            f"Milliseconds, median of {seconds.shape[-1]} turns, with the least and the largest",
            f"{words}.",
            lambda theme: cost_bars(theme, named, models, seconds),
        )
    ]


PREDICTION_DRAWERS: dict[str, Callable[[Arrays, Columns], list[Plate]]] = {
    "calibration": _calibration_plates,
    "intervals": _interval_plates,
    "cost": _cost_plates,
}
