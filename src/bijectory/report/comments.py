"""Sentences made from measurements: what the uniformity of the latents says, and what it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Below this p-value a departure is called measurable; a distance above the second is called large, whatever its p-value.
SURPRISING, LARGE = 0.01, 0.05


@dataclass(frozen=True)
class Measured:
    """The uniformity of one latent over one group of rows: ``group`` is −1 for all of them, else their label."""

    latent: int
    group: int
    distance: float
    p: float
    n: int


def measurements(arrays: Mapping[str, NDArray[Any]], split: int) -> list[Measured]:
    """Rows of a 'uniformity' picture: those of the training split (0) or of the test split (1)."""
    rows = np.flatnonzero(arrays["split"] == split)
    return [
        Measured(
            int(arrays["latent"][i]),
            int(arrays["group"][i]),
            float(arrays["distance"][i]),
            float(arrays["p"][i]),
            int(arrays["n"][i]),
        )
        for i in rows
    ]


def p_words(p: float) -> str:
    """A p-value as one reads it."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def uniformity_comment(rows: Sequence[Measured]) -> list[str]:
    """One sentence a latent, overall and within classes, and what follows from them."""
    sentences = []
    overall = [row for row in rows if row.group < 0]
    for row in overall:
        name, measured = f"z{row.latent + 1}", f"KS {row.distance:.4f}, {p_words(row.p)}, n = {row.n:,}"
        limit = 1.36 / math.sqrt(row.n)  # Kolmogorov's 95 % quantile
        if row.p >= SURPRISING:
            sentences.append(
                f"{name} is uniform overall, as far as {row.n:,} test rows can tell ({measured}; "
                f"uniform numbers stay below {limit:.4f} in 95 of 100 cases)."
            )
        elif row.distance < LARGE:
            sentences.append(
                f"{name} is nearly uniform overall ({measured}): its CDF is nowhere off by more than {100 * row.distance:.1f} %, "
                f"but more than chance explains (below {limit:.4f} in 95 of 100 cases), so the model is not yet exact there."
            )
        else:
            sentences.append(
                f"{name} is not uniform overall ({measured}): the model has not learned this direction of the data."
            )
        sentences += _within_classes(name, [r for r in rows if r.latent == row.latent and r.group >= 0])
    space = "square" if len(overall) == 2 else "interval"
    if any(row.group >= 0 and row.p < SURPRISING for row in rows):
        sentences.append(
            f"That classes are not uniform is expected: the flow never saw the labels, and the classes share the {space}. "
            "Only all of them together have to fill it evenly."
        )
    return sentences


def _within_classes(name: str, rows: Sequence[Measured]) -> list[str]:
    if len(rows) < 2:
        return []
    apart = [row for row in rows if row.p < SURPRISING]
    if not apart:
        return [f"Within each of the {len(rows)} classes it is uniform too: {name} tells nothing of the label."]
    most = max(apart, key=lambda row: row.distance)
    others = [row for row in rows if row.p >= SURPRISING]
    count = "any class" if not others else f"{len(apart)} of {len(rows)} classes"
    return [
        f"It is not uniform within {count}; farthest from it in class {most.group} "
        f"(KS {most.distance:.3f}, {p_words(most.p)}, n = {most.n:,})."
    ]
