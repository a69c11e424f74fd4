"""Figures inside a page: one image a theme, as data addresses; and the same as files of the run."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..figures.plate import Plate
from ..figures.style import DARK, LIGHT, encode, pixels
from ..training.checkpoint import write_bytes
from .tables import Reading

#: Bytes of a picture of many colours above which it is smoothed more: noise, which an untrained model draws, is as large as can be.
ROOM = 200_000


@dataclass(frozen=True)
class Shown:
    """A figure as the page holds it: one image a theme, as data addresses."""

    name: str
    caption: str
    alt: str
    light: str
    dark: str
    width: int
    height: int


def show(plate: Plate, reading: Reading) -> Shown:
    """Embed a figure, and save it in the run."""
    light = pixels(plate.draw(LIGHT))
    save(reading, f"{plate.name}.png", encode(light, "PNG"))
    return embed(plate, light)


def embed(plate: Plate, light: NDArray[np.uint8] | None = None) -> Shown:
    """Embed a figure; ``light`` is its image on light paper, where that is drawn already."""
    light = pixels(plate.draw(LIGHT)) if light is None else light
    height, width = light.shape[:2]
    images = [address(_small(image, plate.colourful), "image/webp") for image in (light, pixels(plate.draw(DARK)))]
    return Shown(plate.name, plate.caption, plate.alt, images[0], images[1], width, height)


def save(reading: Reading, name: str, data: bytes) -> None:
    """Write a file into the run's figures; where that cannot be, the page says so."""
    folder = reading.run.path / "figures"
    try:
        folder.mkdir(exist_ok=True)
        write_bytes(folder / name, data)
    except (OSError, RunError):
        note = f"figures are in this page only: {folder} cannot be written"
        if note not in reading.missing:
            reading.missing.append(note)


def address(data: bytes, kind: str) -> str:
    """Bytes as an address that asks nobody."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _small(image: NDArray[np.uint8], colourful: bool) -> bytes:
    """Lossless in as many colours as a byte holds: smaller than a lossy WebP of lettering and points, and the paper stays the page's.

    Pictures of more colours would be banded by that: they are smoothed a little instead.
    """
    from PIL import Image

    if colourful:
        made = (encode(image, "WEBP", quality=quality, method=4) for quality in (85, 60, 30))
        smallest = b""
        for smallest in made:
            if len(smallest) <= ROOM:
                break
        return smallest
    colours = Image.fromarray(image).convert("RGB").quantize()
    return encode(np.asarray(colours.convert("RGB")), "WEBP", lossless=True, method=1)
