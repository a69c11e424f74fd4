"""Using a run on pictures: what each of a person's pictures costs, samples, the way from one picture to another, and all of it as files."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.archives import whole_file
from ..data.arrays import npz_pictures, reduced
from ..data.folders import list_pictures
from ..data.pictures import read_picture, read_pictures, write_picture
from ..data.preparation import AS_IS
from ..errors import DataError, InputError
from ..evaluation.images import interpolate as between
from ..evaluation.likelihood import bits_of_rows, kind_of
from ..models.base import IntegerModel
from ..numerics.seeds import generator_for
from .recipe import Recipe
from .record import Run
from .use import Loaded, load, recorded_recipe

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


@dataclass(frozen=True)
class Given:
    """A person's pictures as a run takes them: x (n, channels, height, width) integers, the names of where they come from, how many of the
    files had something done to them, by the words for it, and (file, reason) for those left out."""

    x: torch.Tensor
    names: tuple[str, ...]
    done: Mapping[str, int]
    skipped: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True)
class Bits:
    """What each picture costs, in bits per dimension: ``column`` names the number, as a bound where it is one."""

    given: Given
    column: str
    values: NDArray[np.float64]

    def rows(self) -> Iterator[tuple[str, float | None]]:
        """(name, bits) of each, None where the model gives a picture no probability that it can tell from 0."""
        for name, value in zip(self.given.names, self.values.tolist(), strict=True):
            yield name, value if math.isfinite(value) else None

    def csv(self) -> str:
        """A header, and a line for each picture."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["file", self.column])
        lines.writerows((name, format(value, ".6f")) for name, value in zip(self.given.names, self.values, strict=True))
        return text.getvalue()

    def unusual_first(self) -> Bits:
        """The same, those that cost most first."""
        order = np.argsort(-self.values, kind="stable")
        names = tuple(self.given.names[i] for i in order)
        return Bits(
            dataclasses.replace(self.given, x=self.given.x[order], names=names), self.column, self.values[order]
        )


def picture_shape(record: Run) -> tuple[tuple[int, int, int], int] | None:
    """((channels, height, width), levels) of a run on integer pictures; None for a run on other rows."""
    shape, levels = record.settings["event_shape"], record.settings.get("levels")
    if levels is None or len(shape) != 3:
        return None
    return (int(shape[0]), int(shape[1]), int(shape[2])), int(levels)


def checked_picture_shape(record: Run) -> tuple[tuple[int, int, int], int]:
    """``picture_shape``; InputError for a run that is not on pictures."""
    found = picture_shape(record)
    if found is None:
        raise InputError(
            f"{record.path}: expected a run on pictures, got one on rows of {tuple(record.settings['event_shape'])} real numbers; use "
            "a run of an image recipe (bijectory list), or one of `bijectory fit FOLDER`"
        )
    return found


def read_given(record: Run, experiment: Recipe, source: Path, *, skip: bool = False) -> Given:
    """The pictures of a folder, a file or an .npz as the run's integers, prepared as those it was trained on.

    Raises DataError for the first file that cannot be used (with ``skip`` it is left out), InputError for a run that is not on pictures.
    """
    shape, levels = checked_picture_shape(record)
    prepare = experiment.preparation or AS_IS
    if source.suffix.lower() == ".npz" and not source.is_dir():
        keys = {str(key): str(key) for key in list_pictures(source).parts.values()}
        arrays, depth = npz_pictures(source, keys, prepare.depth or levels)
        for key, x in arrays.items():
            if x.shape[1:] != shape:
                raise DataError(
                    f"{source} ({key}): expected pictures {_by(shape)}, got {_by(x.shape[1:])}; bring them to that"
                )
        names = tuple(f"{key}[{i}]" for key, x in arrays.items() for i in range(len(x)))
        whole = np.concatenate([reduced(x, depth, levels, source) for x in arrays.values()])
        return Given(torch.from_numpy(whole), names, {})
    read = read_pictures(source, shape, levels, skip=skip, prepare=prepare)
    done = dict(read.done)
    if prepare.resize:
        done[f"brought to {shape[2]}×{shape[1]} pixels, as the run's own were"] = len(read.files)
    return Given(read.x, tuple(path.name for path in read.files), done, read.skipped)


def score_pictures(path: Path, source: Path, *, skip: bool = False, recipe: Path | None = None) -> Bits:
    """Bits per dimension of each picture of a folder, a file or an .npz under a run, in their order; see ``read_given``."""
    record = Run.open(path)
    given = read_given(record, recorded_recipe(record, recipe), source, skip=skip)
    model = load(path, recipe).model
    kind = kind_of(model)
    column = "bits_per_dim" if kind == "exact" else f"bits_per_dim_{kind}"
    return Bits(given, column, bits_of_rows(model, given.x).numpy())


def interpolate(path: Path, first: Path, second: Path, *, steps: int = 8, recipe: Path | None = None) -> Walk:
    """``steps`` pictures whose latents lie evenly on the straight line between those of two files, both ends among them.

    Raises InputError for a run that is not on pictures or fewer than two steps, DataError for files that are not pictures of the
    run's size and kind.
    """
    record = Run.open(path)
    shape, levels = checked_picture_shape(record)
    if steps < 2:
        raise InputError(f"steps: expected at least 2, the two pictures themselves, got {steps}")
    prepare = recorded_recipe(record, recipe).preparation or AS_IS
    # Before the model is loaded, which takes longer than saying that a file is missing.
    ends = torch.stack([read_picture(file, shape, levels, prepare=prepare) for file in (first, second)])
    model = integer_model(load(path, recipe))
    return Walk(between(model, ends[None], steps)[0].numpy(), ends.numpy(), levels)


def sample_pictures(path: Path, n: int, *, seed: int = 0, recipe: Path | None = None) -> tuple[Integers, int]:
    """``n`` draws of a run on pictures, (n, channels, height, width) integers, and their number of levels."""
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    model = integer_model(load(path, recipe))
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


def integer_model(loaded: Loaded) -> IntegerModel:
    """The model of a run, if it is one of integers with latents; InputError for another."""
    if not isinstance(loaded.model, IntegerModel):
        raise InputError(
            f"{loaded.record.path}: expected a model of integers with latents, got {type(loaded.model).__name__}; "
            "wrap its flow in Quantised"
        )
    return loaded.model


def _by(shape: Sequence[int]) -> str:
    return f"of {shape[2]}×{shape[1]} pixels and {shape[0]} channels" if len(shape) == 3 else f"of shape {tuple(shape)}"
