"""The ways of several runs between the same pictures: figures, what they differ by way by way, and the words that follow from that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..evaluation.likelihood import bits_per_dim
from ..figures.image_plates import compared_rows_plate
from ..figures.plate import Plate
from ..figures.walks import Between, compared_ways
from .comments import way_comment
from .tables import Arrays, Figure, Reading

#: Runs and pairs whose ways are shown under one another: more would be taller than they are read.
RUNS, PAIRS = 6, 3
#: How far, as a share of the range, what two runs make of the same ends may differ: an end that does not come back exactly is off by less,
#: and of other pictures some pair is off by more.
SAME_ENDS = 0.01
#: A difference of so many standard errors is called one.
SURE = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """What the ways of a run come to, over ``pairs`` pairs, each figure with what it is above the first run's on the same ways.

    ``above``: bits/dim halfway beyond the mean of both ends. ``length``: all changes of the pixels over what the ends differ by, 1 at
    least. ``peak``: the largest of the changes over their mean, 1 of an even way. ``more`` has the three differences by their names,
    paired way by way; none of the first run, and of one that walked between other pictures.
    """

    name: str
    pairs: int
    above: Figure
    length: Figure | None
    peak: Figure | None
    more: Mapping[str, Figure]


class _Summary(NamedTuple):
    """A figure of many ways, and what each way adds to it: the deviation of that over √n is its standard error."""

    value: float
    pulls: Floats

    def figure(self, unit: str, kind: str = "") -> Figure:
        n = len(self.pulls)
        return Figure(self.value, float(self.pulls.std(ddof=1)) / math.sqrt(n) if n > 1 else None, unit, kind)


def compared(ranked: Sequence[Reading]) -> list[Way]:
    """The ways of the runs that walked, the first of them the one that the others are set beside."""
    walked = [r for r in ranked if "image_walks" in r.pictures]
    found: list[Way] = []
    for reading in walked:
        own, others = _summaries(reading), _summaries(walked[0])
        more = {}
        if reading is not walked[0] and _same_ends(walked[0], reading):
            for name in own.keys() & others.keys():
                less = others[name]
                apart = _Summary(own[name].value - less.value, own[name].pulls - less.pulls)
                more[name] = apart.figure(_UNITS[name], "paired")
        figures = {name: summary.figure(_UNITS[name]) for name, summary in own.items()}
        found.append(
            Way(
                reading.name,
                len(reading.pictures["image_walks"]["nats"]),
                figures["above"],
                figures.get("length"),
                figures.get("peak"),
                more,
            )
        )
    return found


_UNITS = {"above": "bits/dim", "length": "", "peak": ""}


def _summaries(reading: Reading) -> dict[str, _Summary]:
    """The figures of the arrays ``image_walks``; none of the way's shape where both ends of every pair are the same."""
    arrays = reading.pictures["image_walks"]
    nats, change, direct = (arrays[name].astype(np.float64) for name in ("nats", "change", "direct"))
    above = bits_per_dim(1.0, reading.dims) * (nats[:, [0, -1]].mean(1) - nats[:, nats.shape[1] // 2])
    found = {"above": _Summary(float(above.mean()), above - above.mean())}
    if direct.sum() > 0 and change.sum() > 0:
        found["length"] = _ratio(change.sum(1), direct)
        found["peak"] = _ratio(change[:, change.mean(0).argmax()], change.mean(1))
    return found


def _ratio(x: Floats, y: Floats) -> _Summary:
    """Σ x / Σ y over pairs, of which each adds (x − ratio · y) / mean y beyond the ratio (the delta method)."""
    ratio = float(x.sum() / y.sum())
    return _Summary(ratio, (x - ratio * y) / y.mean())


def _same_ends(one: Reading, other: Reading) -> bool:
    first, second = (r.pictures["image_walks"]["direct"] for r in (one, other))
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=0, atol=SAME_ENDS))


def ways_comment(ways: Sequence[Way]) -> list[str]:
    """A sentence for each run beside the first: by how much its ways differ, and which differences chance may explain."""
    sentences = []
    for way in ways[1:]:
        first = ways[0]
        if not way.more:
            sentences.append(
                f"{way.name} and {first.name} did not walk between the same pictures: their figures are not compared."
            )
            continue
        words = [
            _said(
                way.more["above"],
                (way.above, first.above),
                ("less likely than", "likelier than", "as likely as"),
                "its pictures halfway are {} the other's, each beside its own ends ({} against {} bits/dim above them, {})",
                4,
            )
        ]
        shapes = (
            (
                "length",
                (way.length, first.length),
                ("longer", "shorter", "as long"),
                "its ways are {} ({} against {} times what the ends differ by, {})",
            ),
            (
                "peak",
                (way.peak, first.peak),
                ("less evenly", "more evenly", "as evenly"),
                "they change {} (the largest change {} against {} times the mean, {})",
            ),
        )
        for name, (own, other), said, sentence in shapes:
            if own is not None and other is not None:
                words.append(_said(way.more[name], (own, other), said, sentence))
        sentences.append(f"{way.name} beside {first.name}, over the same {way.pairs} pairs: {'; '.join(words)}.")
    return sentences


def _said(
    more: Figure, both: tuple[Figure, Figure], words: tuple[str, str, str], sentence: str, digits: int = 3
) -> str:
    """The sentence with the word for more, for less or for neither, and with the figures that it rests on."""
    sure = _sure(more)
    word = (words[0] if more.value > 0 else words[1]) if sure else words[2]
    error = "" if more.stderr is None else f" ± {more.stderr:.{digits}f}"
    apart = f"difference {_value(more, digits, sign='+')}{error}{'' if sure else ', which chance may explain'}"
    return sentence.format(word, *(_value(one, digits) for one in both), apart)


def _value(figure: Figure, digits: int = 3, *, sign: str = "") -> str:
    return f"{figure.value:{sign}.{digits}f}".replace("-", "−")


def way_words(reading: Reading) -> str:
    """What one run's ways come to."""
    words = way_comment(reading.pictures["image_walks"], reading.dims)
    return f"{reading.name}: {words[0].lower()}{words[1:]}"


def _alike(ranked: Sequence[Reading]) -> list[Reading]:
    """The runs that were seen on the same ways as the best of those that were seen on any."""
    walked = [r for r in ranked if "image_interpolations" in r.pictures]
    return [
        r for r in walked if _same_way(walked[0].pictures["image_interpolations"], r.pictures["image_interpolations"])
    ]


def _same_way(one: Arrays, other: Arrays) -> bool:
    return one["rows"].shape == other["rows"].shape and np.array_equal(one["ends"], other["ends"])


def apart_comment(ranked: Sequence[Reading]) -> list[str]:
    """How far the pictures between are from the first run's on the same ways, and each run's from mixed pixels."""
    alike = _alike(ranked)
    sentences = []
    for other in alike[1:]:
        one, two = (_inner(r) for r in (alike[0], other))
        if not one[0].size:
            continue  # ways of two steps have nothing between their ends
        between, *mixed = _distance(one[0], two[0]), _distance(*one), _distance(*two)
        ends = alike[0].pictures["image_interpolations"]["ends"].astype(np.float64)
        direct = _distance(ends[:, :1], ends[:, 1:])
        share = 100 / (int(alike[0].pictures["image_interpolations"]["levels"]) - 1)
        a, b, c, d = (
            _Summary(float(x.mean()) * share, (x - x.mean()) * share).figure("%") for x in (between, *mixed, direct)
        )
        nearest = [_Summary(float((m - between).mean()), m - between - (m - between).mean()).figure("") for m in mixed]
        if all(_sure(x) and x.value > 0 for x in nearest):
            verdict = "so the two go nearer to one another than to mixed pixels"
        elif all(_sure(x) and x.value < 0 for x in nearest):
            verdict = "so each goes nearer to mixed pixels than to the other"
        else:
            verdict = "so they are not nearer to one another than to mixed pixels, as far as these can tell"
        pairs, steps = one[0].shape[:2]
        sentences.append(
            f"The {steps} pictures between the ends of {pairs} pairs, {other.name} beside {alike[0].name}: they differ by {_percent(a)} of "
            f"the range, and from the ends' pixels mixed by {_percent(c)} and {_percent(b)}, where the ends differ by {_percent(d)}; "
            f"{verdict}."
        )
    return sentences


def _sure(figure: Figure) -> bool:
    return figure.stderr is not None and abs(figure.value) > SURE * figure.stderr


def _percent(figure: Figure) -> str:
    return f"{figure.value:.1f}{'' if figure.stderr is None else f' ± {figure.stderr:.1f}'} %"


def _inner(reading: Reading) -> tuple[Floats, Floats]:
    """The pictures between the ends, and what mixing the pixels of the ends gives there, in whole levels: (pairs, steps − 2, …) each."""
    arrays = reading.pictures["image_interpolations"]
    rows, ends = arrays["rows"].astype(np.float64), arrays["ends"].astype(np.float64)
    t = np.linspace(0, 1, rows.shape[1])[1:-1].reshape(1, -1, *[1] * (rows.ndim - 2))
    return rows[:, 1:-1], np.rint((1 - t) * ends[:, :1] + t * ends[:, 1:])


def _distance(one: Floats, other: Floats) -> Floats:
    """Mean absolute difference of the pictures of each pair, in levels: (pairs,)."""
    found: Floats = np.abs(one - other).reshape(len(one), -1).mean(1)
    return found


def rows_plates(ranked: Sequence[Reading]) -> list[Plate]:
    """The ways of all runs that walked between the same pairs as the best of those that walked."""
    alike = _alike(ranked)[:RUNS]
    if len(alike) < 2:
        return []
    rows = [(r.name, r.pictures["image_interpolations"]["rows"][:PAIRS]) for r in alike]
    return [compared_rows_plate(rows, int(alike[0].pictures["image_interpolations"]["levels"]))]


def ways_plates(ranked: Sequence[Reading]) -> list[Plate]:
    """How likely each run finds the pictures on its own ways."""
    runs = [between(r.name, r.pictures["image_walks"], r.dims) for r in ranked if "image_walks" in r.pictures]
    if len(runs) < 2:
        return []
    pairs = max(len(r.pictures["image_walks"]["nats"]) for r in ranked if "image_walks" in r.pictures)
    words = "; ".join(
        f"{run.name} {', '.join(f'{value:+.4f}' for value in run.above)}, averaged pixels {run.blend:+.4f}"
        for run in runs
    )
    return [
        Plate(
            "compared_ways",
            f"How likely each run finds the pictures on its own ways, {pairs} pairs, ± one standard error; a cross: pixels averaged",
            f"Bits/dim above the mean of both ends, at each quarter of the way: {words}.".replace("-", "−"),
            lambda theme: compared_ways(theme, runs),
        )
    ]


def between(name: str, arrays: Arrays, dims: int) -> Between:
    """The arrays of ``image_walks`` in bits/dim above the mean of both ends, paired way by way."""
    nats = arrays["nats"].astype(np.float64)
    ends = nats[:, [0, -1]].mean(1)
    above = ends[:, None] - nats
    error = above.std(0, ddof=1) / np.sqrt(len(above)) if len(above) > 1 else np.full(nats.shape[1], np.nan)
    unit = bits_per_dim(1.0, dims)
    return Between(name, unit * above.mean(0), unit * error, unit * float((ends - arrays["blend"]).mean()))
