"""What a model makes of pictures of other sets: the table, and the sentences that keep it from being read as more than it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.elsewhere import auroc
from ..evaluation.likelihood import bits_per_dim
from .tables import Figure

#: The share of the test pictures that would be called unusual: those that the model finds least likely.
ALARM = 0.05

WARNING = (
    "Likelihood alone is no detector: a flow may find pictures of another set likelier than those it learned from (Nalisnick et al. 2019, "
    "arXiv:1810.09136; Choi, Jang & Alemi 2018, arXiv:1810.01392)"
)


@dataclass(frozen=True)
class Noticed:
    """One set of pictures under a model: ``share`` of them is less likely than 95 % of the test pictures.

    ``bound`` and ``typical`` are AUROCs against the test pictures: by the bits themselves, and by how far they are from the mean of the
    training pictures, either way (Nalisnick, Matsukawa, Teh & Lakshminarayanan 2019, arXiv:1906.02994). None for the test pictures.
    """

    name: str
    pictures: int
    bits: Figure
    share: float
    bound: Figure | None
    typical: Figure | None


def noticed(arrays: Mapping[str, NDArray[Any]], dims: int) -> list[Noticed]:
    """The rows of the table, the test pictures first; the arrays of 'image_elsewhere'."""
    needs = -arrays["nats"].astype(np.float64)
    sets = [needs[arrays["set"] == index] for index in range(len(arrays["sets"]))]
    test, usual = sets[0], float(-arrays["train"].astype(np.float64).mean())
    alarm = float(np.quantile(test, 1 - ALARM))
    found = []
    for name, x in zip(arrays["sets"], sets, strict=True):
        first = x is test
        bound, typical = auroc(test, x), auroc(np.abs(test - usual), np.abs(x - usual))
        error = float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 and np.isfinite(x).all() else None
        found.append(
            Noticed(
                str(name),
                len(x),
                Figure(
                    bits_per_dim(float(x.mean()), dims),
                    None if error is None else bits_per_dim(error, dims),
                    "bits/dim",
                    "bound",
                ),
                float((x > alarm).mean()),
                None if first else Figure(*bound, "AUROC"),
                None if first else Figure(*typical, "AUROC"),
            )
        )
    return found


def elsewhere_comment(arrays: Mapping[str, NDArray[Any]], dims: int) -> list[str]:
    """What was found, what it does not mean, and what was not scored."""
    test, *others = noticed(arrays, dims)
    sentences, fooled = [], []
    for other in others:
        apart = other.bits.value - test.bits.value
        if not abs(apart) >= 3 * math.hypot(other.bits.stderr or 0.0, test.bits.stderr or 0.0):
            kind = "as likely as its own, as far as these can tell"
        elif apart < 0:
            kind = "likelier than its own"
            fooled.append(other.name)
        else:
            kind = "less likely than its own"
        sentences.append(
            f"{other.name[0].upper()}{other.name[1:]}: {other.bits.value:.4f} bits/dim against {test.bits.value:.4f}, so the model finds "
            f"them {kind}; {100 * other.share:.1f} % would be called unusual where {100 * ALARM:.0f} % of the test pictures are."
        )
    here = f"; here it does so with {' and '.join(fooled)}" if fooled else "; with the sets tried here it does not"
    mean = bits_per_dim(-float(arrays["train"].astype(np.float64).mean()), dims)
    sentences.append(
        f"{WARNING}{here}. Typicality asks how far the bits are from those of {len(arrays['train']):,} training pictures, {mean:.4f} "
        "bits/dim on average, either way; sets that need as many escape it too."
    )
    return sentences + [f"Not scored: {words}" for words in arrays["missing"]]
