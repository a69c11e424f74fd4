"""Using a run on pictures: samples as integers, the way from one picture to another, and both as files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.archives import whole_file
from ..data.pictures import read_picture, write_picture
from ..errors import InputError
from ..evaluation.images import interpolate as between
from ..models.base import IntegerModel
from ..numerics.seeds import generator_for
from .record import Run
from .use import Loaded, load

Integers = NDArray[Any]

#: Samples drawn at once, pixels of a sheet that is enlarged no further, and the endings under which pictures are written.
CHUNK, WIDE = 100, 640
ENDINGS = (".png", ".npz")


@dataclass(frozen=True)
class Walk:
    """Pictures (steps, channels, height, width) on the way between two ``ends`` (2, …), as integers 0 … levels − 1."""

    pictures: Integers
    ends: Integers
    levels: int

    @property
    def exact(self) -> bool:
        """Whether both ends came back from their latents as they were."""
        return bool((self.pictures[[0, -1]] == self.ends).all())


def picture_shape(record: Run) -> tuple[tuple[int, int, int], int] | None:
    """((channels, height, width), levels) of a run on integer pictures; None for a run on other rows."""
    shape, levels = record.settings["event_shape"], record.settings.get("levels")
    if levels is None or len(shape) != 3:
        return None
    return (int(shape[0]), int(shape[1]), int(shape[2])), int(levels)


def interpolate(path: Path, first: Path, second: Path, *, steps: int = 8, recipe: Path | None = None) -> Walk:
    """``steps`` pictures whose latents lie evenly on the straight line between those of two files, both ends among them.

    Raises InputError for a run that is not on pictures or fewer than two steps, DataError for files that are not pictures of the
    run's size and kind.
    """
    record = Run.open(path)
    found = picture_shape(record)
    if found is None:
        raise InputError(
            f"{path}: expected a run on pictures, got one on rows of {tuple(record.settings['event_shape'])} real numbers; "
            "interpolate a run of an image recipe (bijectory list)"
        )
    if steps < 2:
        raise InputError(f"steps: expected at least 2, the two pictures themselves, got {steps}")
    shape, levels = found
    # Before the model is loaded, which takes longer than saying that a file is missing.
    ends = torch.stack([read_picture(file, shape, levels) for file in (first, second)])
    model = _integer_model(load(path, recipe))
    return Walk(between(model, ends[None], steps)[0].numpy(), ends.numpy(), levels)


def sample_pictures(path: Path, n: int, *, seed: int = 0, recipe: Path | None = None) -> tuple[Integers, int]:
    """``n`` draws of a run on pictures, (n, channels, height, width) integers, and their number of levels."""
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    model = _integer_model(load(path, recipe))
    generator = generator_for(seed, "sample")
    with torch.no_grad():
        drawn = [model.sample(min(CHUNK, n - start), generator=generator) for start in range(0, n, CHUNK)]
    return torch.cat(drawn).numpy(), model.levels


def check_picture_ending(path: Path) -> None:
    """Refuse a name under which pictures cannot be written, before anything is computed."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"{path}: expected a name ending in .png (a sheet of the pictures) or .npz (their integers), got "
            f"{path.suffix or 'no ending'}"
        )


def write_pictures(path: Path, pictures: Integers, levels: int, *, columns: int | None = None) -> tuple[int, int]:
    """Write pictures (n, channels, height, width): a .png is a sheet of ``columns`` (default: a square), a .npz the integers.

    A sheet has black lines between its pictures and each pixel as a square of several; it is black at 0 and white at levels − 1. The
    .npz holds ``x`` (n, height, width, channels) and ``levels``. The file is replaced in one step. Returns (width, height) of the sheet
    or of one picture.
    """
    check_picture_ending(path)
    last = np.ascontiguousarray(np.moveaxis(pictures, 1, -1))
    if path.suffix.lower() == ".npz":
        with whole_file(path) as file:
            np.savez_compressed(file, x=last, levels=np.int64(levels))
        return last.shape[2], last.shape[1]
    # matplotlib comes with it, and takes a third of a second to load: only who draws pays for it.
    from ..figures.images import mosaic, square_columns

    black = np.zeros(last.shape[-1], dtype=last.dtype)
    sheet = mosaic(last, columns or square_columns(len(last), last.shape[1:3]), black, gap=1)
    times = max(1, math.ceil(WIDE / sheet.shape[1]))
    sheet = sheet.repeat(times, 0).repeat(times, 1)
    write_picture(path, np.moveaxis(sheet, -1, 0), levels)
    return sheet.shape[1], sheet.shape[0]


def _integer_model(loaded: Loaded) -> IntegerModel:
    if not isinstance(loaded.model, IntegerModel):
        raise InputError(
            f"{loaded.record.path}: expected a model of integers with latents, got {type(loaded.model).__name__}; "
            "wrap its flow in Quantised"
        )
    return loaded.model
