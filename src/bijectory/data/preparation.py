"""What may be done to a person's picture before its integers are taken: turned upright, recoloured, laid on a colour, resized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from ..errors import DataError

#: The modes that give a number of channels without loss: black-and-white is grey with two values, a palette lists colours.
MODES = {1: ("L", "1"), 3: ("RGB", "P")}
#: Modes with an opacity beside the colours.
CLEAR = ("LA", "La", "PA", "RGBA", "RGBa")
#: The values of an EXIF orientation by which width and height change places.
SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class Preparation:
    """What is done to a file that is not as the model wants it; by default nothing but turning it upright, so that it is refused.

    ``resize``: it is cut to the wanted proportions around its middle, then resized by LANCZOS. ``convert``: a grey file serves as
    colour, a colour file whose channels agree as grey, and an opacity that is full everywhere is dropped: nothing is lost.
    ``background``: what transparent pictures are laid on. ``depth``: how many values the integers of an .npz have that says nothing of
    it; None for the model's levels.
    """

    resize: bool = False
    convert: bool = False
    background: Literal["black", "white"] | None = None
    depth: int | None = None


AS_IS = Preparation()


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a picture as it will stand once its EXIF orientation is respected; nothing is decoded."""
    # A TIFF's size is the upright one already.
    sideways = image.format != "TIFF" and orientation(image) in SIDEWAYS
    return (image.height, image.width) if sideways else image.size


def check_mode(image: Image.Image, channels: int | None, prepare: Preparation, name: object) -> None:
    """Refuse, by its header, a mode that does not give so many channels (None: either number); the pixels may refuse it still."""
    plain = MODES[1] + MODES[3] if prepare.convert or channels is None else MODES[channels]
    clear = image.mode in CLEAR or "transparency" in image.info
    if not (prepare.convert or prepare.background if clear else image.mode in plain):
        raise _mode_error(image, channels, name)


def prepared(
    image: Image.Image, channels: int, size: tuple[int, int], prepare: Preparation, name: object
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """A decoded picture as 8-bit values (channels, height, width), and words for what was done to it.

    ``size`` is (width, height).

    Raises:
        DataError: transparency without a background, colours where grey is wanted; names the file.
    """
    done = []
    image = ImageOps.exif_transpose(image)
    if image.mode in CLEAR or "transparency" in image.info:
        image, laid = _opaque(image, prepare, name)
        done += [f"laid on {prepare.background}"] * laid
    if channels == 1 and image.mode not in MODES[1]:
        colour = np.array(image.convert("RGB"))
        if not prepare.convert or (colour != colour[..., :1]).any():
            raise _mode_error(image, channels, name)
        image = Image.fromarray(np.ascontiguousarray(colour[..., 0]))
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != size:
        if image.width < size[0] or image.height < size[1]:
            done.append("enlarged, which adds pixels that carry nothing")
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    values = np.asarray(image)
    return (values[None] if channels == 1 else values.transpose(2, 0, 1)), tuple(done)


def parsed_size(text: str) -> tuple[int, int]:
    """(height, width) from '32' or '24x32', height first.

    Raises:
        DataError: other text, or a side of less than 2 pixels.

    Example:
        >>> parsed_size("32"), parsed_size("24x32")
        ((32, 32), (24, 32))
    """
    sides: Sequence[str] = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isascii() and side.strip().isdigit() for side in sides):
        raise DataError(f"size: expected pixels such as 32, or height x width such as 24x32, got {text!r}")
    height, width = int(sides[0]), int(sides[-1])
    if min(height, width) < 2:
        raise DataError(f"size: expected at least 2 pixels a side, got {text!r}; a flow halves a picture")
    return height, width


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a picture that is opened and not yet decoded, 1 (upright) where it has none."""
    try:
        # Asking a PNG without EXIF for it would decode its pixels, to look behind them.
        known = image.format in ("TIFF", "JPEG") or "exif" in image.info
        return int(image.getexif().get(ExifTags.Base.Orientation, 1)) if known else 1
    except Exception:
        # Damaged EXIF raises whatever the damage led the reader to; the picture beside it is whole, and every viewer shows it as it lies.
        return 1


def _opaque(image: Image.Image, prepare: Preparation, name: object) -> tuple[Image.Image, bool]:
    """The picture without its opacity, and whether it had to be laid on the background for that."""
    grey = image.mode in ("LA", "La") or (image.mode == "L" and "transparency" in image.info)
    whole = image.convert("RGBA")
    opacity = np.asarray(whole.getchannel("A"))
    full = bool((opacity == np.iinfo(opacity.dtype).max).all())
    if not (full and prepare.convert):
        if prepare.background is None:
            raise DataError(
                f"{name}: expected an opaque picture, got mode {image.mode} with transparency; flatten it first, or let a run be "
                "trained with background=white or background=black, on which it is laid"
            )
        ground = Image.new("RGBA", whole.size, prepare.background)
        whole = Image.alpha_composite(ground, whole)
    return whole.convert("RGB").convert("L") if grey else whole.convert("RGB"), not full


def _mode_error(image: Image.Image, channels: int | None, name: object) -> DataError:
    clear = "transparency" in image.info or image.mode in CLEAR
    kind = {1: "grey (mode L)", 3: "colour without transparency (mode RGB)", None: "grey or colour (mode L or RGB)"}[
        channels
    ]
    seen = f"{image.mode} with transparency" if "transparency" in image.info else image.mode
    remedy = "flatten it first, or train with background=white" if clear and channels is None else "convert it first"
    return DataError(f"{name}: expected {kind}, got mode {seen}; {remedy}")
