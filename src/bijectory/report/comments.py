"""Sentences made from measurements: what uniformity of latents, calibration, cost, nearest training pictures, ways between pictures and the
round trip say, and what they do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.likelihood import bits_per_dim

#: Below this p-value a departure is called measurable; a distance above the second is called large, whatever its p-value.
SURPRISING, LARGE = 0.01, 0.05
#: A sample is called close to a training picture where this share of the test pictures is closer to theirs.
CLOSE = 0.05


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


def calibration_comment(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """What the PIT and the coverage of intervals say of predictions; the arrays of 'calibration'."""
    counts, n = arrays["counts"].astype(np.float64), int(arrays["n"])
    chi_square_p, distance, distance_p = (float(arrays[key]) for key in ("chi_square_p", "distance", "distance_p"))
    tests = (
        f"χ² of {len(counts)} bins {float(arrays['chi_square']):.1f}, {p_words(chi_square_p)}; KS {distance:.4f}, {p_words(distance_p)}; "
        f"n = {n:,}"
    )
    if min(chi_square_p, distance_p) >= SURPRISING:
        sentences = [f"The predictions are calibrated, as far as {n:,} test rows can tell ({tests})."]
    else:
        outer = (counts[0] + counts[-1]) / (2 * counts.mean())
        shape = "too narrow" if outer > 1 else "too wide"
        ends = f"the outermost bins hold {outer:.2f} times their share, as of predictions that are {shape}"
        size = "by more than chance explains" if distance < LARGE else "plainly"
        sentences = [f"The predictions are off {size} ({tests}): {ends}."]
    off = [
        f"{100 * a:.0f} % intervals hold {100 * c:.1f} ± {100 * e:.1f} % of the rows"
        for a, c, e in zip(arrays["level"], arrays["coverage"], arrays["stderr"], strict=True)
        if abs(c - a) > 3 * e
    ]
    if off:
        sentences.append(f"Further from their promise than three standard errors: {'; '.join(off)}.")
    else:
        sentences.append("Every interval holds what it promises, within three standard errors.")
    return sentences


def cost_comment(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Which model is cheaper at what, and how many times; the arrays of 'cost'."""
    models, tasks = ([str(name) for name in arrays[key]] for key in ("models", "tasks"))
    middle = np.median(arrays["seconds"], -1)
    sentences = []
    for task, count, line in zip(tasks, arrays["rows"], middle, strict=True):
        best, worst = int(line.argmin()), int(line.argmax())
        sentences.append(
            f"{task} of {int(count):,} rows: {models[best]} takes {1000 * line[best]:.1f} ms, {models[worst]} "
            f"{line[worst] / line[best]:.1f} times as long."
        )
    return sentences


def memorisation_comment(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Whether samples lie closer to training pictures than pictures do that the model never saw; rows of 'image_neighbours'."""
    distance, held_out = arrays["distance"].astype(np.float64), arrays["held_out"].astype(np.float64)
    n = len(distance)
    mirrored = ", mirrored training pictures included" if arrays["mirrored"].any() else ""
    sentences = [
        f"The median sample lies {np.median(distance):.1f} from the training picture nearest to it, the median test picture "
        f"{np.median(held_out):.1f} (Euclidean distance in levels{mirrored})."
    ]
    copies = int((distance == 0).sum())
    if copies:
        sentences.append(f"{copies} of {n} samples are training pictures, value for value.")
    close = int((distance < np.quantile(held_out, CLOSE)).sum())
    found = f"{close} of {n} samples lie closer to a training picture than {100 * (1 - CLOSE):.0f} % of the test pictures do"
    if binomial_tail(close, n, CLOSE) < SURPRISING:
        sentences.append(
            f"{found}, where chance would put about {CLOSE * n:.0f}: the model repeats training pictures, or its samples are plainer than "
            "pictures are; the pairs show which."
        )
    else:
        sentences.append(
            f"{found}; chance alone would put about {CLOSE * n:.0f}: no sign of pictures learned by heart."
        )
    return sentences


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(at least k of n), each with probability p in (0, 1)."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k, n + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def way_comment(arrays: Mapping[str, NDArray[Any]], dims: int) -> str:
    """How likely the pictures between two others are, and how evenly they change; the arrays of 'image_walks'."""
    nats = arrays["nats"].astype(np.float64)
    pairs, half = nats.shape[0], nats[:, nats.shape[1] // 2]
    ends = nats[:, [0, -1]].mean(1)
    above, blend = (_in_bits(ends - x, dims) for x in (half, arrays["blend"]))
    return (
        f"Halfway between {pairs} pairs of held-out pictures its own need {bits_per_dim(-float(half.mean()), dims):.4f} bits/dim, "
        f"{_more(*above)} than the two ends: {_likely(*above, pairs)}; their pixels averaged would need {_more(*blend)}; {_even(arrays)}."
    )


def _in_bits(nats: NDArray[np.float64], dims: int) -> tuple[float, float]:
    error = float(nats.std(ddof=1)) / math.sqrt(len(nats)) if len(nats) > 1 else math.nan
    return bits_per_dim(float(nats.mean()), dims), bits_per_dim(error, dims)


def _more(value: float, error: float) -> str:
    return f"{abs(value):.4f} ± {error:.4f} bits/dim {'more' if value >= 0 else 'less'}"


def _likely(value: float, error: float, pairs: int) -> str:
    if not abs(value) >= 3 * error:
        return f"as likely as data, as far as {pairs} pair{'s' if pairs > 1 else ''} can tell"
    return "less likely than data" if value > 0 else "likelier than data, as plain pictures are"


def _even(arrays: Mapping[str, NDArray[Any]]) -> str:
    moves = arrays["change"].astype(np.float64).mean(0)
    words = ", ".join(f"{100 * move:.1f}" for move in moves)
    direct = float(arrays["direct"].sum())
    if not direct > 0:
        return "the pictures at both ends are the same"
    return (
        f"from quarter to quarter of the way the pixels change by {words} % of the range, the most being "
        f"{moves.max() / moves.mean():.2f} times the mean; in all {arrays['change'].sum() / direct:.2f} times what the ends differ by"
    )


def round_trip_comment(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """How many pictures come back from their latents; the counts of 'image_round_trip'."""
    pictures, exact, values, wrong, largest = (
        int(arrays[name]) for name in ("pictures", "exact", "values", "wrong", "largest")
    )
    if exact == pictures:
        return [
            f"Round trip: all {pictures:,} test pictures come back from their latents exactly, in each of {values:,} values."
        ]
    return [
        f"Round trip: {exact:,} of {pictures:,} test pictures ({100 * exact / pictures:.2f} %) come back from their latents exactly; "
        f"{wrong:,} of {values:,} values are off, by at most {largest} level{'s' if largest > 1 else ''}."
    ]
