"""What the page says of a run on a typed table: its figures by section, sentences on what was measured, and the rows that stand out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..figures.plate import Plate
from ..figures.plates import plates
from ..figures.table_plates import PANELS
from .comments import LARGE, SURPRISING, p_words
from .tables import Reading

Arrays = Mapping[str, NDArray[Any]]

FIGURES = ("table_marginals", "table_pairs", "table_correlations", "table_calibration")
#: Columns that a sentence names.
NAMED = 3


@dataclass(frozen=True)
class Standout:
    """A held-out row: what it costs, its values in words, and, of an unlikely one, which column costs most beyond its usual."""

    nats: float
    values: list[str]
    culprit: str = ""


@dataclass(frozen=True)
class Standouts:
    """The least and the most likely of the held-out rows, under the names of the columns that are shown."""

    columns: list[str]
    least: list[Standout]
    most: list[Standout]
    note: str


def table_plates(reading: Reading) -> dict[str, list[Plate]]:
    """The plates of a typed table's portrait, by section."""
    found = reading.pictures
    return {name: plates(name, found[name], reading.columns) for name in FIGURES if name in found}


def table_comments(reading: Reading) -> dict[str, list[str]]:
    """Sentences on what was measured of the columns, by section."""
    says = {
        "table_marginals": marginals_comment,
        "table_pairs": pairs_comment,
        "table_correlations": correlations_comment,
        "table_calibration": columns_comment,
    }
    return {name: say(reading.pictures[name]) for name, say in says.items() if name in reading.pictures}


def marginals_comment(arrays: Arrays) -> list[str]:
    """Which columns the samples miss, beside what two sets of the same data do; the arrays of 'table_marginals'."""
    names, apart = arrays["name"], 100 * arrays["apart"]
    shown, total = min(len(names), PANELS), len(names)
    order = np.argsort(-(apart[:, 0] - apart[:, 1]), kind="stable")[:NAMED]
    worst = "; ".join(f"{names[i]} {apart[i, 0]:.1f} % ({apart[i, 1]:.1f} %)" for i in order)
    held, drawn, training = (int(counts[0].sum()) for counts in np.swapaxes(arrays["counts"], 0, 1))
    sentences = [
        f"Each column alone, {held:,} held-out rows beside {drawn:,} samples: where the line leaves the area the model draws too many such "
        "values, or too few. What lies beyond an axis stands in its last bars.",
        "Apart is the share of the samples that would have to move to other bars; in brackets the same of "
        f"{training:,} training rows, which is what chance does. Furthest beyond chance: {worst}.",
    ]
    if shown < total:
        sentences.append(f"Of {total} columns the {shown} are shown that are furthest apart.")
    return sentences


def pairs_comment(arrays: Arrays) -> list[str]:
    """What to look for in the pairs; the arrays of 'table_pairs'."""
    pairs = len(arrays["pair"])
    which = "The pair" if pairs == 1 else f"The {pairs} pairs"
    return [
        f"{which} of numbers that go together most by Spearman's ρ on the held-out rows. Clouds should have the same shape, edges and "
        "lines: samples where no row lies are combinations that the model takes for possible."
    ]


def correlations_comment(arrays: Arrays) -> list[str]:
    """How far the associations of samples are from those of data, and where most; the arrays of 'table_correlations'."""
    names, values = [str(name) for name in arrays["name"]], arrays["values"]
    measure = (
        "Spearman's ρ between numbers; where words are involved Cramér's V, which has no sign, corrected for chance, numbers cut at "
        "their quintiles"
        if arrays["words"].any()
        else "Spearman's ρ"
    )
    sentences = [f"{measure}."]
    upper = np.triu_indices(len(names), 1)
    off = np.abs(values[1:] - values[0])[:, upper[0], upper[1]]
    if np.isfinite(off[0]).any():
        at = int(np.nanargmax(off[0]))
        i, j = upper[0][at], upper[1][at]
        chance = (
            f"; between training and held-out rows it is {np.nanmax(off[1]):.2f}, by chance"
            if np.isfinite(off[1]).any()
            else ""
        )
        sentences.append(
            f"The largest difference is {off[0][at]:.2f}, between {names[i]} and {names[j]}: {_signed(values[0, i, j])} held out, "
            f"{_signed(values[1, i, j])} in samples{chance}. What goes far beyond that is a dependence that the model "
            "has missed, or made up."
        )
    if len(names) < int(arrays["columns"]):
        sentences.append(f"Of {int(arrays['columns'])} columns the {len(names)} are shown that go together most.")
    return sentences


def columns_comment(arrays: Arrays) -> list[str]:
    """Which columns' conditional distributions are off, and how; the arrays of 'table_calibration'."""
    n, p, distance = int(arrays["n"]), arrays["p"][:-1], arrays["distance"][:-1]
    k = len(p)
    sentences = [
        f"Where each value of {n:,} held-out rows lies in its distribution given the columns before it, uniform where the model is true: "
        "a ∪ means too narrow, a ∩ too wide, a slope too low or too high. In the grey band lie 95 of 100 bars of a true model. A "
        "calibrated column may still ignore the others: that is seen in the associations."
    ]
    off = [int(i) for i in np.argsort(-distance, kind="stable") if p[i] < SURPRISING / k]
    if not off:
        sentences.append(
            f"All {k} columns are calibrated, as far as {n:,} rows can tell: no p-value lies below {SURPRISING:g} / {k}."
            if k > 1
            else f"It is calibrated, as far as {n:,} rows can tell ({p_words(float(p[0]))})."
        )
    else:
        size = "plainly" if distance[off[0]] >= LARGE else "by more than chance explains"
        named = "; ".join(_off(arrays, i) for i in off[:NAMED])
        sentences.append(
            f"{len(off)} of {k} columns {'is' if len(off) == 1 else 'are'} off {size} (p below {SURPRISING:g} / {k}): {named}. "
            "The KS distance is what a conditional probability is off at most, on average over the rows."
        )
    joint, joint_p = float(arrays["distance"][-1]), float(arrays["p"][-1])
    measured = f"KS {joint:.4f}, {p_words(joint_p)}"
    if joint_p >= SURPRISING:
        sentences.append(f"All columns together are as near to their middles as they should be ({measured}).")
    else:
        counts = arrays["counts"][-1].astype(np.float64)
        outer = "further out than" if _mean(counts) > 0.5 else "nearer to the middle than"
        sentences.append(f"All columns together, rows lie {outer} the model expects ({measured}).")
    if k > PANELS:
        sentences.append(f"Of {k} columns the {PANELS} are shown that are furthest off.")
    return sentences


def standouts(arrays: Arrays) -> Standouts:
    """The least and most likely rows, as the page's table has them; the arrays of 'table_rows'."""
    least = [
        Standout(float(nats), [str(value) for value in row], f"{name} {value}: {cost:+.1f}".replace("-", "−"))
        for nats, row, name, value, cost in zip(
            arrays["least_nats"],
            arrays["least"],
            arrays["culprit"],
            arrays["culprit_value"],
            arrays["culprit_nats"],
            strict=True,
        )
    ]
    most = [
        Standout(float(nats), [str(value) for value in row])
        for nats, row in zip(arrays["most_nats"], arrays["most"], strict=True)
    ]
    left = int(arrays["left"])
    more = f" {left} more column{'s are' if left > 1 else ' is'} not shown." if left else ""
    note = (
        f"−log p of the least and the most likely of {int(arrays['rows']):,} held-out rows, in nats; the median row has "
        f"{float(arrays['median_nats']):.2f}. An unlikely row is a rare one, a fault in the data, or one that the model does not "
        f"understand: beside it stands the value that costs most, and how many nats more than that column does in the median row.{more}"
    )
    return Standouts([str(name) for name in arrays["columns"]], least, most, note)


def _off(arrays: Arrays, i: int) -> str:
    measured = f"{arrays['name'][i]} (KS {float(arrays['distance'][i]):.4f}, {p_words(float(arrays['p'][i]))}"
    return f"{measured}{'' if arrays['words'][i] else _shape(arrays['counts'][i])})"


def _shape(counts: NDArray[Any]) -> str:
    """What a histogram of u says of predictions, if it says one thing."""
    n = counts.sum()
    lean = (_mean(counts) - 0.5) * math.sqrt(12 * n)  # in standard errors of a uniform mean
    outer = (counts[0] + counts[-1]) / n * len(counts) / 2
    found: Sequence[str] = (
        *([f"values lie {'higher' if lean > 0 else 'lower'} than predicted"] if abs(lean) > 4 else []),
        *(["predictions too narrow"] if outer > 1.15 else ["predictions too wide"] if outer < 0.85 else []),
    )
    return "".join(f", {words}" for words in found)


def _mean(counts: NDArray[Any]) -> float:
    middles = (np.arange(len(counts)) + 0.5) / len(counts)
    return float((counts * middles).sum() / counts.sum())


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
