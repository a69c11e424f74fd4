"""What the page shows of one run on pictures: its figures, the film of its samples, and sentences on what was measured."""

from __future__ import annotations

from typing import Any

from ..figures.images import packed, slides, slides_animation
from ..figures.plate import Plate
from ..figures.plates import plates
from .comments import memorisation_comment, round_trip_comment, way_comment
from .elsewhere import elsewhere_comment
from .embed import address, save
from .tables import Reading

#: Bytes of all films of a page: what keeps a page of a few runs below 6 MB.
FILMS = 1_600_000

FIGURES = ("image_samples", "image_temperatures", "image_interpolations", "image_neighbours")


def picture_plates(reading: Reading) -> dict[str, list[Plate]]:
    """The plates of the pictures that a run left."""
    found = reading.pictures
    drawn = {name: plates(name, found[name], reading.columns) for name in FIGURES if name in found}
    # Samples at all temperatures stand beside those at one.
    return {**drawn, "image_samples": drawn.get("image_samples", []) + drawn.pop("image_temperatures", [])}


def picture_comments(reading: Reading) -> dict[str, list[str]]:
    """Sentences on what was measured of the pictures, by the section in which they stand."""
    comments: dict[str, list[str]] = {}
    if "image_neighbours" in reading.pictures:
        comments["image_neighbours"] = memorisation_comment(reading.pictures["image_neighbours"])
    if "image_walks" in reading.pictures:
        comments["image_interpolations"] = [way_comment(reading.pictures["image_walks"], reading.dims)]
    if "image_round_trip" in reading.pictures:
        comments.setdefault("image_interpolations", []).extend(round_trip_comment(reading.pictures["image_round_trip"]))
    if "image_elsewhere" in reading.pictures:
        comments["image_elsewhere"] = elsewhere_comment(reading.pictures["image_elsewhere"], reading.dims)
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
