"""From a picture's arrays to its figures, each with a caption and words that say what it shows, numbers included.

Four tables, ``DRAWERS``, that of the pictures that show pictures, that of predictions and that of typed tables, know which picture becomes
which plates; the page and TensorBoard both ask ``plates``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .densities import Box, density_line, density_map, line_samples, plane_points
from .grids import grid_of_data, grid_of_latents, learned_cdf
from .image_plates import IMAGE_DRAWERS
from .latents import labelled_rows, latent_histogram, latent_square
from .plate import Arrays, Plate
from .prediction_plates import PREDICTION_DRAWERS
from .table_plates import TABLE_DRAWERS

Columns = tuple[str, ...]


def plates(
    name: str, arrays: Arrays, columns: Columns, *, box: Box | None = None, peak: float | None = None
) -> list[Plate]:
    """The plates of a picture; none for one that is not drawn, such as a table of measurements.

    ``box`` and ``peak`` put plates of several pictures or runs on one scale; without them a picture's own are taken.
    """
    if name in IMAGE_DRAWERS:
        return IMAGE_DRAWERS[name](arrays)
    if name in PREDICTION_DRAWERS:
        return PREDICTION_DRAWERS[name](arrays, columns)
    if name in TABLE_DRAWERS:
        return TABLE_DRAWERS[name](arrays, columns)
    drawer = DRAWERS.get(name)
    if drawer is None:
        return []
    own = (arrays["low"], arrays["high"]) if "low" in arrays else _hull(arrays)
    return drawer(arrays, columns, box or own, peak)


def peak_of(arrays: Arrays) -> float:
    """The highest density that is learned or true: the top of the scale on which both are shown."""
    logs = [arrays[key] for key in ("log_density", "log_truth") if key in arrays]
    return float(max(np.exp(np.nan_to_num(log.astype(np.float64), nan=-np.inf)).max() for log in logs))


def gap(arrays: Arrays) -> float | None:
    """½ ∫ |p − q| over the box: the share of the mass that the learned density puts where the true one does not."""
    if "log_truth" not in arrays:
        return None
    learned, true = _density(arrays["log_density"]), _density(arrays["log_truth"])
    return float(0.5 * np.abs(learned - true).sum() * _cell(arrays))


def _hull(arrays: Arrays) -> Box:
    rows = next((arrays[key] for key in ("data", "x") if key in arrays), np.array([[0.0], [1.0]]))
    rows = rows.reshape(-1, rows.shape[-1])
    low, high = np.nanmin(rows, 0), np.nanmax(rows, 0)
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _density(log: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.exp(log.astype(np.float64))


def _cell(arrays: Arrays) -> float:
    sides = (arrays["high"].astype(np.float64) - arrays["low"]) / arrays["log_density"].shape[0]
    return float(sides.prod())


def _span(box: Box, columns: Columns) -> str:
    sides = zip(columns, *box, strict=True)
    return ", ".join(f"{column} from {low:.3g} to {high:.3g}" for column, low, high in sides)


def _density_words(kind: str, log: NDArray[np.floating], arrays: Arrays, columns: Columns) -> str:
    p = _density(log)
    place = np.unravel_index(int(p.argmax()), p.shape)[::-1]  # x1 runs along the last axis
    middles = [
        low + (high - low) * (i + 0.5) / p.shape[0]
        for i, low, high in zip(place, arrays["low"], arrays["high"], strict=True)
    ]
    where = ", ".join(f"{column} = {m:.2f}" for column, m in zip(columns, middles, strict=True))
    return (
        f"The {kind} density over {_span((arrays['low'], arrays['high']), columns)}: it is highest, {p.max():.3g}, at {where}, "
        f"and {p.sum() * _cell(arrays):.4f} of its mass lies in view."
    )


def _density_plates(arrays: Arrays, columns: Columns, box: Box, peak: float | None) -> list[Plate]:
    log_density, log_truth = arrays["log_density"], arrays.get("log_truth")
    between = gap(arrays)
    apart = "" if between is None else f" It puts {100 * between:.1f} % of its mass elsewhere than the true one."
    learned = _density_words("learned", log_density, arrays, columns) + apart
    if log_density.ndim == 1:
        x = np.linspace(float(box[0][0]), float(box[1][0]), 2 * len(log_density) + 1)[1::2]
        true = None if log_truth is None else _density(log_truth)
        return [
            Plate(
                "density",
                "Learned density, over the true one" if true is not None else "Learned density",
                learned,
                lambda theme: density_line(theme, x, _density(log_density), true, columns[0]),
            )
        ]
    top = peak or peak_of(arrays)
    found = [
        Plate(
            "density_learned",
            "Learned density",
            learned,
            lambda theme: density_map(theme, _density(log_density), box, columns, top),
        )
    ]
    if log_truth is not None:
        found.append(
            Plate(
                "density_true",
                "True density, on the same scale",
                _density_words("true", log_truth, arrays, columns),
                lambda theme: density_map(theme, _density(log_truth), box, columns, top),
            )
        )
    return found


def _moments(x: NDArray[np.floating], columns: Columns) -> str:
    pairs = zip(columns, x.mean(0), x.std(0), strict=True)
    return ", ".join(f"{column} {mean:.3f} ± {deviation:.3f}" for column, mean, deviation in pairs)


def _sample_plates(arrays: Arrays, columns: Columns, box: Box, peak: float | None) -> list[Plate]:
    samples, data = arrays["samples"], arrays["data"]
    words = {
        "samples": f"{len(samples):,} samples of the model; mean ± deviation {_moments(samples, columns)}.",
        "data": f"{len(data):,} rows of the data; mean ± deviation {_moments(data, columns)}.",
    }
    if len(columns) == 1:
        return [
            Plate(
                "samples",
                f"{len(samples):,} samples, over {len(data):,} test rows",
                " ".join(words.values()),
                lambda theme: line_samples(theme, samples[:, 0], data[:, 0], box, columns[0]),
            )
        ]
    return [
        Plate(
            "samples",
            f"{len(samples):,} samples",
            words["samples"],
            lambda theme: plane_points(theme, samples, box, columns),
        ),
        Plate(
            "data",
            f"{len(data):,} test rows",
            words["data"],
            lambda theme: plane_points(theme, data, box, columns),
        ),
    ]


def _latent_words(u: NDArray[np.floating], labels: NDArray[np.integer] | None) -> str:
    names = tuple(f"z{i + 1}" for i in range(u.shape[1]))
    words = f"Latents of {len(u):,} training rows through the base's CDF; mean ± deviation {_moments(u, names)} (uniform: 0.500 ± 0.289)."
    if labels is None:
        return words
    classes = (f"class {c} around {_middle(u[labels == c])}" for c in np.unique(labels)[:8])
    return f"{words} By label: {'; '.join(classes)}."


def _middle(u: NDArray[np.floating]) -> str:
    return "(" + ", ".join(f"{m:.2f}" for m in u.mean(0)) + ")"


def _latent_plates(arrays: Arrays, columns: Columns, box: Box, peak: float | None) -> list[Plate]:
    u, labels = arrays["latents"], arrays.get("labels")
    coloured = ", coloured by label" if labels is not None else ""
    words = _latent_words(u, labels)
    if u.shape[1] == 1:
        return [
            Plate("latents", f"Their latents{coloured}", words, lambda theme: latent_histogram(theme, u[:, 0], labels))
        ]
    latents = Plate("latents", f"Their latents{coloured}", words, lambda theme: latent_square(theme, u, labels))
    if "x" not in arrays:
        return [latents]
    x = arrays["x"]
    rows = Plate(
        "data_labelled",
        f"{len(x):,} training rows{coloured}",
        f"{len(x):,} rows of training data; mean ± deviation {_moments(x, columns)}.",
        lambda theme: labelled_rows(theme, x, labels, box, columns),
    )
    return [rows, latents]


def _grid_plates(arrays: Arrays, columns: Columns, box: Box, peak: float | None) -> list[Plate]:
    x, u, family = arrays["x"], arrays["latents"], arrays["family"]
    inside = np.asarray(np.isfinite(u).all(-1))
    lines, share = len(family) // 2, inside.mean()
    return [
        Plate(
            "grid_data",
            f"A regular grid in x, where there are data: constant {columns[0]} blue, constant {columns[1]} orange",
            f"{lines} lines of constant {columns[0]} and {lines} of constant {columns[1]} over {_span(box, columns)}, "
            f"drawn where the model finds data likely, {100 * share:.0f} % of their length.",
            lambda theme: grid_of_data(theme, x, family, box, columns),
        ),
        Plate(
            "grid_latents",
            "The same lines mapped into z",
            "The same lines after the map, in the unit square: they reach from "
            f"({', '.join(f'{v:.2f}' for v in _ends(u, inside, 0))}) to ({', '.join(f'{v:.2f}' for v in _ends(u, inside, 1))}).",
            lambda theme: grid_of_latents(theme, u, family),
        ),
    ]


def _ends(u: NDArray[np.floating], inside: NDArray[np.bool_], end: int) -> NDArray[np.floating]:
    found = u[inside]
    if not len(found):
        return np.full(u.shape[-1], np.nan)
    return found.max(0) if end else found.min(0)


def _map_plates(arrays: Arrays, columns: Columns, box: Box, peak: float | None) -> list[Plate]:
    x, cdf, true = arrays["x"], arrays["cdf"], arrays.get("true_cdf")
    quartiles = ", ".join(f"{x[np.searchsorted(cdf, q).clip(0, len(x) - 1)]:.2f}" for q in (0.25, 0.5, 0.75))
    off = "" if true is None else f" It is at most {np.abs(cdf - true).max():.4f} from the true one."
    return [
        Plate(
            "map",
            "The learned CDF, which is the map x → u",
            f"The learned CDF of {columns[0]}; its quartiles lie at {quartiles}.{off}",
            lambda theme: learned_cdf(theme, x, cdf, true, columns[0]),
        )
    ]


def _frame_plates(arrays: Arrays, columns: Columns, box: Box, peak: float | None) -> list[Plate]:
    drawn = [*_density_plates(arrays, columns, box, peak), *_latent_plates(arrays, columns, box, peak)]
    return [Plate(f"frame_{plate.name}", plate.caption, plate.alt, plate.draw) for plate in drawn]


DRAWERS: dict[str, Callable[[Arrays, Columns, Box, float | None], list[Plate]]] = {
    "frame": _frame_plates,
    "density": _density_plates,
    "samples": _sample_plates,
    "latents": _latent_plates,
    "grid": _grid_plates,
    "map": _map_plates,
}
