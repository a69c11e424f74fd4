"""What a model makes of pictures of other sets: the table, and the sentences that keep it from being read as more than it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.elsewhere import auroc
from ..evaluation.likelihood import bits_per_dim
from .tables import Figure, Reading

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
        apart = _apart(test, other)
        kind = {
            -1: "likelier than its own",
            0: "as likely as its own, as far as these can tell",
            1: "less likely than its own",
        }[apart]
        if apart < 0:
            fooled.append(other.name)
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


def _apart(test: Noticed, other: Noticed) -> int:
    """1 where the other set needs more bits than the test pictures by three standard errors, −1 where it needs fewer, else 0."""
    apart = other.bits.value - test.bits.value
    if not abs(apart) >= 3 * math.hypot(other.bits.stderr or 0.0, test.bits.stderr or 0.0):
        return 0
    return 1 if apart > 0 else -1


@dataclass(frozen=True)
class Scored:
    """A run of several, by name, and what it made of its own test pictures, the first of ``sets``, and of others."""

    name: str
    sets: list[Noticed]


def scored_by_each(readings: Sequence[Reading]) -> list[Scored]:
    """The runs that scored pictures from elsewhere, where there are two or more: one may score what another was trained on."""
    found = [
        Scored(r.name, noticed(r.pictures["image_elsewhere"], r.dims))
        for r in readings
        if "image_elsewhere" in r.pictures
    ]
    return found if len(found) > 1 else []


def scored_comment(scored: Sequence[Scored]) -> list[str]:
    """Which sets the models find likelier than what they were trained on, which less likely, and what neither means."""
    told: dict[int, list[str]] = {-1: [], 1: [], 0: []}
    for run in scored:
        test, *others = run.sets
        for other in others:
            kind = _apart(test, other)
            rates = f"; AUROC {_auroc(other.bound)} by the bound, {_auroc(other.typical)} by typicality" * (kind < 0)
            told[kind].append(
                f"{other.name} by {run.name} ({other.bits.value:.4f} against {test.bits.value:.4f} bits/dim{rates})"
            )
    words = {
        -1: "Found likelier than the test pictures of the model's own set",
        1: "Found less likely",
        0: "Found as likely, as far as these can tell",
    }
    sentences = [f"{words[kind]}: {'; '.join(found)}." for kind, found in told.items() if found]
    count = sum(map(len, told.values()))
    return [*sentences, f"{WARNING}; here it is so in {len(told[-1]) or 'none'} of {count} cases."]


def _auroc(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.value:.3f} ± {figure.stderr:.3f}"
