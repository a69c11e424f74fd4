"""From the arrays of pictures that show pictures to their plates, with captions and words that carry the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image_rows import picture_rows
from .images import neighbour_pairs, picture_grid
from .plate import Arrays, Plate


def image_grid_plate(name: str, caption: str, what: str, pictures: NDArray[Any], levels: int) -> Plate:
    """A grid of pictures; ``what`` they are begins the words that stand for it."""
    return Plate(
        name,
        caption,
        f"{what}, {_size(pictures, levels)}; {_values(pictures, levels)}.",
        lambda theme: picture_grid(theme, pictures, levels),
        colourful=_colourful(pictures, levels),
    )


def _levels(arrays: Arrays) -> int:
    return int(arrays["levels"])


def _colourful(pictures: NDArray[Any], levels: int) -> bool:
    # A byte counts the colours of lettering and of 2-bit colour, or every grey; of finer colour it does not.
    colours = levels ** (1 if pictures.shape[-3] == 1 else 3)
    return colours > np.iinfo(np.uint8).max + 1


def _size(pictures: NDArray[Any], levels: int) -> str:
    channels, height, width = pictures.shape[-3:]
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return f"{width} × {height} pixels, {kind}, {levels} levels"


def _values(pictures: NDArray[Any], levels: int) -> str:
    share = pictures.astype(np.float64) / (levels - 1)
    # How much neighbouring pixels differ tells noise from pictures, also to those who cannot see them.
    steps = [np.abs(np.diff(share, axis=axis)).mean() for axis in (-1, -2) if share.shape[axis] > 1]
    rough = f"; pixels side by side differ by {100 * np.mean(steps):.1f} %" if steps else ""
    return f"mean ± deviation {100 * share.mean():.1f} ± {100 * share.std():.1f} % of the full range{rough}"


def _frame_plates(arrays: Arrays) -> list[Plate]:
    n = len(arrays["samples"])
    return [
        image_grid_plate(
            "frame_samples", f"{n} samples", f"{n} samples of the model", arrays["samples"], _levels(arrays)
        )
    ]


def _sample_plates(arrays: Arrays) -> list[Plate]:
    samples, data, levels = arrays["samples"], arrays["data"], _levels(arrays)
    n, m = len(samples), len(data)
    return [
        image_grid_plate("image_samples", f"{n} samples, not chosen", f"{n} samples of the model", samples, levels),
        image_grid_plate("image_data", f"{m} test pictures", f"{m} pictures of the test split", data, levels),
    ]


def _interpolation_plates(arrays: Arrays) -> list[Plate]:
    rows, ends, levels = arrays["rows"], arrays["ends"], _levels(arrays)
    pairs, steps = rows.shape[:2]
    off = np.abs(rows[:, [0, -1]].astype(np.int64) - ends.astype(np.int64)).reshape(2 * pairs, -1)
    back = int((off.max(1) == 0).sum())
    moves = _changes(rows, levels)
    return [
        Plate(
            "image_interpolations",
            "From one held-out picture to another on a straight line between their latents",
            f"{pairs} rows of {steps} pictures, {_size(rows, levels)}, each from one held-out picture to another; {back} of {2 * pairs} "
            f"ends come back from their latents exactly. From picture to picture the pixels change by "
            f"{', '.join(f'{100 * move:.1f}' for move in moves)} % of the full range.",
            lambda theme: picture_rows(theme, rows, levels, ends=True),
            colourful=_colourful(rows, levels),
        )
    ]


def _changes(rows: NDArray[Any], levels: int) -> NDArray[np.float64]:
    """Mean absolute change from each picture of the rows (pairs, steps, …) to the next, as a share of the range: (steps − 1,)."""
    pairs, steps = rows.shape[:2]
    apart = np.abs(np.diff(rows.astype(np.float64), axis=1)).reshape(pairs, steps - 1, -1)
    found: NDArray[np.float64] = apart.mean((0, 2)) / (levels - 1)
    return found


def _temperature_plates(arrays: Arrays) -> list[Plate]:
    samples, levels = arrays["samples"], _levels(arrays)
    labels = [f"{t:.1f}" for t in arrays["temperatures"]]
    kinds = "; ".join(f"at {label} {_values(row, levels)}" for label, row in zip(labels, samples, strict=True))
    return [
        Plate(
            "image_temperatures",
            f"The same {samples.shape[1]} latents times {labels[0]} to {labels[-1]}: samples at these temperatures, a row each",
            f"{samples.shape[1]} latents at {len(labels)} temperatures, {_size(samples, levels)}: {kinds}.",
            lambda theme: picture_rows(theme, samples, levels, labels),
            colourful=_colourful(samples, levels),
        )
    ]


def compared_rows_plate(runs: Sequence[tuple[str, NDArray[Any]]], levels: int) -> Plate:
    """The same ways of several runs under one another: their names and rows (pairs, steps, …), a letter before each row."""
    letters = [chr(ord("A") + i) for i in range(len(runs))]
    rows = np.stack([found for _, found in runs], 1)  # (pairs, runs, steps, …)
    pairs, steps = len(rows), rows.shape[2]
    names = ", ".join(f"{letter} {name}" for letter, (name, _) in zip(letters, runs, strict=True))
    words = "; ".join(
        f"{name} {', '.join(f'{100 * move:.1f}' for move in _changes(found, levels))}" for name, found in runs
    )
    flat = rows.reshape(-1, *rows.shape[2:])
    return Plate(
        "compared_interpolations",
        f"The same held-out pictures at both ends, between them the ways of {names}",
        f"{pairs} pairs of held-out pictures, for each the ways of {names}, {steps} pictures each, {_size(flat, levels)}. From picture to "
        f"picture the pixels change by, in % of the full range: {words}.",
        lambda theme: picture_rows(theme, flat, levels, letters * pairs, ends=True, block=len(runs)),
        colourful=_colourful(flat, levels),
    )


def _neighbour_plates(arrays: Arrays) -> list[Plate]:
    samples, nearest, levels = arrays["samples"], arrays["nearest"], _levels(arrays)
    distance, held_out = arrays["distance"], arrays["held_out"]
    own = distance[arrays["shown"]]
    return [
        Plate(
            "image_neighbours",
            f"The {len(samples)} samples of {len(distance)} that lie nearest to a training picture; at the right of each that picture, "
            "below their distance",
            f"{len(samples)} pairs of a sample and the training picture nearest to it, {own.min():.1f} to {own.max():.1f} apart "
            f"(Euclidean, in levels). The median distance of all {len(distance)} samples is {np.median(distance):.1f}, of "
            f"{len(held_out)} test pictures {np.median(held_out):.1f}.",
            lambda theme: neighbour_pairs(theme, samples, nearest, own, levels),
            colourful=_colourful(samples, levels),
        )
    ]


IMAGE_DRAWERS: dict[str, Callable[[Arrays], list[Plate]]] = {
    "image_frame": _frame_plates,
    "image_samples": _sample_plates,
    "image_temperatures": _temperature_plates,
    "image_interpolations": _interpolation_plates,
    "image_neighbours": _neighbour_plates,
}
