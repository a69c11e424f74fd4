"""From the arrays of a typed table's portrait to its plates, with captions and words that carry the numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .plate import Arrays, Plate
from .tables import Scale, association_matrix, bars_panel, pair_panels, pit_panel, words_panel

Columns = tuple[str, ...]

#: Panels of single columns: of more columns those that are furthest off are shown.
PANELS = 16


def foremost(off: NDArray[np.floating], most: int = PANELS) -> list[int]:
    """The places of the ``most`` largest numbers, in the order in which they stand."""
    return sorted(np.argsort(-off, kind="stable")[:most].tolist())


def kept_together(caption: str) -> str:
    """The caption with no break between a number and what belongs to it: under a small panel a line is short."""
    return caption.replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0").replace(" < ", "\u00a0<\u00a0")


def _marginal_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    return [_marginal_plate(arrays, i) for i in foremost(arrays["apart"][:, 0])]


def _marginal_plate(arrays: Arrays, i: int) -> Plate:
    name, bars = str(arrays["name"][i]), int(arrays["bars"][i])
    held, drawn = (np.append(counts[:bars], counts[-1]) for counts in arrays["counts"][i, :2])
    samples, training = (100 * float(share) for share in arrays["apart"][i])
    missing = "".join(
        f" Missing: {100 * counts[-1] / max(1, counts.sum()):.1f} % of the {who}."
        for counts, who in ((held, "held-out rows"), (drawn, "samples"))
        if held[-1] or drawn[-1]
    )
    caption = f"{name}: {samples:.1f} % apart (training rows {training:.1f} %)"
    alt = (
        f"{name}: {held.sum():,} held-out rows and {drawn.sum():,} samples in {bars} bars; {samples:.1f} % of the samples would have to "
        f"move to other bars, of as many training rows {training:.1f} %.{missing}"
    )
    if str(arrays["axis"][i]) == "words":
        words = [str(word) for word in arrays["words"][i, :bars]]
        shares = ", ".join(
            f"{word} {100 * p:.1f} % and {100 * q:.1f} %"
            for word, p, q in zip(words, held / max(1, held.sum()), drawn / max(1, drawn.sum()), strict=False)
        )
        return Plate(
            f"marginal_{i + 1:02d}",
            kept_together(caption),
            f"{alt} Held out and drawn: {shares}.",
            lambda theme: words_panel(theme, name, words, held, drawn),
        )
    edges = arrays["edges"][i, : bars + 1]
    scale = Scale(float(edges[0]), float(edges[-1]), float(arrays["knee"][i]))
    return Plate(
        f"marginal_{i + 1:02d}",
        kept_together(caption),
        f"{alt} From {scale.low:.4g} to {scale.high:.4g}.",
        lambda theme: bars_panel(theme, name, scale, edges, held, drawn),
    )


def _pair_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    return [_pair_plate(arrays, index) for index in range(len(arrays["pair"]))]


def _pair_plate(arrays: Arrays, index: int) -> Plate:
    i, j = (int(place) for place in arrays["pair"][index])
    first, second = str(arrays["name"][i]), str(arrays["name"][j])
    scales = tuple(Scale(*(float(arrays[key][at]) for key in ("low", "high", "knee"))) for at in (i, j))
    held, drawn = arrays["data"][:, [i, j]], arrays["samples"][:, [i, j]]
    rho = "ρ {:.2f} held out, {:.2f} in samples".format(*arrays["rho"][index]).replace("-", "−")
    low, high = np.array([s.low for s in scales]), np.array([s.high for s in scales])
    inside = [100 * np.mean(((points >= low) & (points <= high)).all(1)) for points in (held, drawn)]
    return Plate(
        f"pair_{index + 1:02d}",
        f"{first} and {second}: {rho}",
        f"Points of {first} and {second}: {len(held):,} held-out rows beside {len(drawn):,} samples. Spearman's {rho}. In view are "
        f"{inside[0]:.1f} % of the held-out rows and {inside[1]:.1f} % of the samples.",
        lambda theme: pair_panels(theme, (first, second), (scales[0], scales[1]), held, drawn),
    )


def _correlation_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    names, values = [str(name) for name in arrays["name"]], arrays["values"]
    found = []
    for part, who, file in ((values[0], "Held-out rows", "data"), (values[1], "Samples", "samples")):
        upper = np.triu_indices(len(names), 1)
        order = np.argsort(-np.abs(np.nan_to_num(part[upper])), kind="stable")[:3]
        most = "; ".join(
            f"{names[upper[0][at]]} and {names[upper[1][at]]} {part[upper][at]:.2f}".replace("-", "−") for at in order
        )
        found.append(
            Plate(
                f"correlations_{file}",
                who,
                f"{who}: associations of {len(names)} columns. The strongest: {most}.",
                lambda theme, part=part: association_matrix(theme, names, part),  # type: ignore[misc]
            )
        )
    return found


def _calibration_plates(arrays: Arrays, columns: Columns) -> list[Plate]:
    distance = arrays["distance"]
    # All columns together always stand at the end.
    shown = [*foremost(distance[:-1]), len(distance) - 1]
    return [_calibration_plate(arrays, i) for i in shown]


def _calibration_plate(arrays: Arrays, i: int) -> Plate:
    name, counts = str(arrays["name"][i]), arrays["counts"][i]
    relative = counts * len(counts) / max(1, counts.sum())
    p = float(arrays["p"][i])
    measured = f"KS {float(arrays['distance'][i]):.4f}, {'p < 0.0001' if p < 1e-4 else f'p = {p:.2g}'}"
    return Plate(
        f"calibration_{i + 1:02d}",
        kept_together(f"{name}: {measured}"),
        f"{name}: histogram of u of {int(arrays['n']):,} held-out rows in {len(counts)} bins, relative to uniform from "
        f"{relative.min():.2f} to {relative.max():.2f}, first {relative[0]:.2f}, last {relative[-1]:.2f}. {measured}.",
        lambda theme: pit_panel(theme, name, counts),
    )


TABLE_DRAWERS: dict[str, Callable[[Arrays, Columns], list[Plate]]] = {
    "table_marginals": _marginal_plates,
    "table_pairs": _pair_plates,
    "table_correlations": _correlation_plates,
    "table_calibration": _calibration_plates,
}
