"""What the page shows of runs on pictures: their figures, the film of their samples, and several runs on the same pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.likelihood import bits_per_dim
from ..figures.curves import Curve, compared_curves
from ..figures.image_plates import image_grid_plate
from ..figures.images import packed, slides, slides_animation
from ..figures.plate import Plate
from ..figures.plates import plates
from .comments import memorisation_comment, round_trip_comment
from .embed import Shown, address, embed, save
from .tables import Figure, Reading, same_pictures

#: Bytes of all films of a page, and samples of each run where several stand side by side: what keeps a page of a few runs below 6 MB.
FILMS, BESIDE = 1_600_000, 49

FIGURES = ("image_samples", "image_interpolations", "image_neighbours")


def picture_plates(reading: Reading) -> dict[str, list[Plate]]:
    """The plates of the pictures that a run left."""
    found = reading.pictures
    return {name: plates(name, found[name], reading.columns) for name in FIGURES if name in found}


def picture_comments(reading: Reading) -> dict[str, list[str]]:
    """Sentences on what was measured of the pictures, by the section in which they stand."""
    comments = {}
    if "image_neighbours" in reading.pictures:
        comments["image_neighbours"] = memorisation_comment(reading.pictures["image_neighbours"])
    if "image_round_trip" in reading.pictures:
        comments["image_interpolations"] = round_trip_comment(reading.pictures["image_round_trip"])
    return comments


def picture_film(reading: Reading, limit: int) -> dict[str, Any] | None:
    """The film of the samples as the page's player is given it, in about ``limit`` bytes; also saved as a GIF."""
    if not reading.looks:
        return None
    whole = slides(reading.looks)
    save(reading, "animation.gif", slides_animation(whole))
    film, sprite = packed(whole, limit)
    height, width = film.sheets.shape[1:3]
    return {
        "data": {
            "pictures": film.pictures,
            "steps": film.steps,
            "bits": [reading.bits_near(step) for step in film.steps],
            "across": film.columns,
            "width": int(width),
            "height": int(height),
        },
        "sprite": address(sprite, "image/webp"),
        "frames": len(film.steps),
        "alt": f"Animation of {film.pictures} samples, {len(film.steps)} frames from step {film.steps[0]:,} to step {film.steps[-1]:,}",
    }


@dataclass(frozen=True)
class Standing:
    """A run among others on the same pictures; ``more`` is what it needs above the best of them, with its standard error."""

    reading: Reading
    more: Figure | None


@dataclass(frozen=True)
class Group:
    """Runs on the same pictures, best first."""

    standings: list[Standing]
    comment: list[str]
    samples: list[Shown]
    curves: list[Shown]


def groups(readings: Sequence[Reading]) -> list[Group]:
    """The runs on the same pictures, wherever there are two or more: likelihoods, their differences, curves and samples side by side."""
    return [_group(members) for members in same_pictures(readings)]


def _group(members: list[Reading]) -> Group:
    ranked = sorted(members, key=lambda r: _bits(r).value if r.score("bits_per_dim") else np.inf)
    best = ranked[0]
    standings = [Standing(r, None if r is best else difference(best, r)) for r in ranked]
    curves = [Curve(r.name, r.validation) for r in ranked if len(r.validation)]
    words = "; ".join(f"{c.name} ends at {c.points[-1, 1]:.4f} bits/dim" for c in curves)
    together = Plate(
        "compared_curves",
        "Validation curves",
        f"Validation curves: {words}.",
        lambda theme: compared_curves(theme, curves, None, best.kind),
    )
    found = []
    for reading in ranked:
        arrays = reading.pictures.get("image_samples")
        if arrays is not None:
            some = arrays["samples"][:BESIDE]
            what = f"{len(some)} samples of {reading.name}"
            bits = reading.score("bits_per_dim")
            score = "" if bits is None else f": {bits.value:.4f} bits/dim"
            found.append(image_grid_plate("compared_samples", what + score, what, some, int(arrays["levels"])))
    return Group(standings, _words(standings), [embed(plate) for plate in found], [embed(together)] if curves else [])


def _bits(reading: Reading) -> Figure:
    found = reading.score("bits_per_dim")
    assert found is not None
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
