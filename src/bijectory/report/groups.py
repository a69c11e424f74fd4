"""Several runs on the same pictures side by side: likelihoods and their differences, cost, temperatures, ways between pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.likelihood import bits_per_dim
from ..figures.curves import Curve, compared_curves
from ..figures.image_plates import image_grid_plate
from ..figures.plate import Plate
from ..figures.plates import plates
from .embed import Shown, embed
from .tables import Figure, Reading, same_pictures
from .ways import Way, apart_comment, compared, rows_plates, way_words, ways_comment, ways_plates

#: Samples of each run where several stand side by side: what keeps a page of a few runs below 6 MB.
BESIDE = 49


@dataclass(frozen=True)
class Cost:
    """What a run costs: parameters, seconds of 1,000 updates with the looks between, milliseconds a picture, and what did the work."""

    parameters: int
    score: float
    sample: float
    pictures: int
    place: str


@dataclass(frozen=True)
class Standing:
    """A run among others on the same pictures; ``more`` is what it needs above the best of them, with its standard error."""

    reading: Reading
    more: Figure | None
    cost: Cost | None

    @property
    def pace(self) -> float | None:
        """Seconds of 1,000 updates, the looks between them included."""
        result = self.reading.result
        return 1000 * result["seconds"] / result["steps"] if result and result.get("steps") else None


@dataclass(frozen=True)
class Group:
    """Runs on the same pictures, best first: ``unheated`` are those without samples at temperatures; ``walks`` are the figures of the
    ways, ``beside`` the words that compare them, ``sentences`` a run each.
    """

    standings: list[Standing]
    comment: list[str]
    samples: list[Shown]
    curves: list[Shown]
    temperatures: list[Shown]
    unheated: list[str]
    ways: list[Shown]
    walks: list[Way]
    beside: list[str]
    sentences: list[str]


def groups(readings: Sequence[Reading]) -> list[Group]:
    """The runs on the same pictures, wherever there are two or more."""
    return [_group(members) for members in same_pictures(readings)]


def _group(members: list[Reading]) -> Group:
    ranked = sorted(members, key=_rank)
    best = ranked[0]
    standings = [Standing(r, None if r is best else difference(best, r), cost(r)) for r in ranked]
    walks = compared(ranked)
    return Group(
        standings,
        _words(standings),
        [embed(plate) for plate in _samples(ranked)],
        [embed(plate) for plate in _curves(ranked, best.kind)],
        [embed(plate) for plate in _temperatures(ranked)],
        [r.name for r in ranked if "image_temperatures" not in r.pictures],
        [embed(plate) for plate in (*rows_plates(ranked), *ways_plates(ranked))],
        walks,
        [*ways_comment(walks), *apart_comment(ranked)],
        [way_words(r) for r in ranked if "image_walks" in r.pictures],
    )


def _rank(reading: Reading) -> float:
    bits = reading.score("bits_per_dim")
    return np.inf if bits is None else bits.value


def cost(reading: Reading) -> Cost | None:
    """The array set ``image_cost``, a picture at a time; the median of its repeats."""
    arrays = reading.pictures.get("image_cost")
    if arrays is None:
        return None
    n, threads = int(arrays["pictures"]), int(arrays["threads"])
    score, sample = (1000 * float(np.median(arrays[key])) / n for key in ("score", "sample"))
    device = str(arrays["device"])
    place = f"{threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device
    return Cost(int(arrays["parameters"]), score, sample, n, place)


def _curves(ranked: list[Reading], kind: str) -> list[Plate]:
    curves = [Curve(r.name, r.validation) for r in ranked if len(r.validation)]
    if not curves:
        return []
    words = "; ".join(f"{c.name} ends at {c.points[-1, 1]:.4f} bits/dim" for c in curves)
    return [
        Plate(
            "compared_curves",
            "Validation curves",
            f"Validation curves: {words}.",
            lambda theme: compared_curves(theme, curves, None, kind),
        )
    ]


def _samples(ranked: list[Reading]) -> list[Plate]:
    found = []
    for reading in ranked:
        arrays = reading.pictures.get("image_samples")
        if arrays is not None:
            some = arrays["samples"][:BESIDE]
            what = f"{len(some)} samples of {reading.name}"
            bits = reading.score("bits_per_dim")
            score = "" if bits is None else f": {bits.value:.4f} bits/dim"
            found.append(image_grid_plate("compared_samples", what + score, what, some, int(arrays["levels"])))
    return found


def _temperatures(ranked: list[Reading]) -> list[Plate]:
    found = []
    for reading in ranked:
        if "image_temperatures" in reading.pictures:
            (plate,) = plates("image_temperatures", reading.pictures["image_temperatures"], ())
            caption, alt = (f"{reading.name}: {words[0].lower()}{words[1:]}" for words in (plate.caption, plate.alt))
            found.append(Plate("compared_temperatures", caption, alt, plate.draw, plate.colourful))
    return found


def difference(one: Reading, other: Reading) -> Figure | None:
    """Bits per dimension that ``other`` needs above ``one`` on the same test pictures.

    Paired picture by picture where both runs kept their rows (array set ``likelihood``), which takes out how hard each picture is;
    else of the two means, whose errors then add up as if the pictures were others.
    """
    rows = [r.pictures.get("likelihood", {}).get("test") for r in (one, other)]
    if rows[0] is not None and rows[1] is not None and rows[0].shape == rows[1].shape and len(rows[0]) > 1:
        apart = rows[0].astype(np.float64) - rows[1].astype(np.float64)
        error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
        mean = bits_per_dim(float(apart.mean()), one.dims)
        return Figure(mean, bits_per_dim(error, one.dims), "bits/dim", "paired")
    first, second = one.score("bits_per_dim"), other.score("bits_per_dim")
    if first is None or second is None:
        return None
    error = float(np.hypot(first.stderr or 0.0, second.stderr or 0.0))
    return Figure(second.value - first.value, error, "bits/dim", "unpaired")


def _words(standings: list[Standing]) -> list[str]:
    best = standings[0].reading
    sentences = []
    for standing in standings[1:]:
        more = standing.more
        if more is None or not more.stderr:
            continue
        times = more.value / more.stderr
        how = (
            "paired, picture by picture"
            if more.kind == "paired"
            else "from the errors of both runs as if of different pictures, and so rather too large"
        )
        sure = "" if times >= 3 else ", which chance may explain"
        sentences.append(
            f"{standing.reading.name} needs {more.value:.4f} bits/dim more than {best.name}, ± {more.stderr:.4f} ({how}): "
            f"{times:.1f} standard errors{sure}."
        )
    return sentences
