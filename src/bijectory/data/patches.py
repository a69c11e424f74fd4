"""Patches of natural pictures as rows of real numbers, in the manner of the MAF paper's BSDS300."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError
from ..numerics.seeds import seed_for
from .archives import find_file
from .images import BYTE_LEVELS
from .pictures import load_picture, open_picture
from .splits import Rows, Splits

#: Pixels of a patch's side, and of a picture's height and width.
SIDE, HEIGHT, WIDTH = 8, 321, 481
#: One in so many of the training pictures gives the patches by which weights are chosen, and no others.
HELD = 10
REMEDY = (
    "fetch BSDS300-images.tgz from https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds, turn each picture to grey and to "
    "481×321 pixels, and save those of train and of test below one another as bsds300_gray_train.png and bsds300_gray_test.png"
)


def bsds300_splits(
    folder: Path | None, seed: int, *, train: int = 100_000, validation: int = 5_000, test: int = 20_000
) -> Splits:
    """BSDS300-style rows of 63: 8×8 grey patches at random places, with noise, less their mean, without the last pixel.

        x = (v + u) / levels − mean over the patch,   u uniform on [0, 1),   levels = 256

    Reads bsds300_gray_train.png and bsds300_gray_test.png, the 300 pictures below one another. Test patches come from the test
    pictures; validation patches from a tenth of the training pictures, which give no others. Places and noise are fixed by the seed.
    Nats are those of x, in parts of the grey range: the patch's mean is gone, so that they are no likelihood of pictures.
    Source: Zoran & Weiss 2011; Papamakarios et al. 2017 (arXiv:1705.07057). Differs: their rows are a fixed file of a million patches.

    Raises:
        DataError: no folder, no such file (says how to get it), a damaged one or one of another size; fewer than one row of a split.
    """
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        if rows < 1:
            raise DataError(f"{name}: expected at least one row, got {rows}")
    pictures = _pictures(find_file(folder, ["bsds300_gray_train.png"], REMEDY))
    tested = _pictures(find_file(folder, ["bsds300_gray_test.png"], REMEDY))
    order = np.random.default_rng(seed_for(seed, "patches", "held")).permutation(len(pictures))
    held = order[: max(1, len(pictures) // HELD)]
    kept = order[len(held) :]
    parts = [
        Rows(_patches(source, rows, seed, name))
        for name, source, rows in (
            ("train", pictures[kept], train),
            ("validation", pictures[held], validation),
            ("test", tested, test),
        )
    ]
    columns = tuple(f"p{i + 1}" for i in range(SIDE * SIDE - 1))
    notes = (
        "BSDS300-style: patches drawn anew, not the rows of the papers' file",
        f"8×8 grey patches with uniform noise, in parts of {BYTE_LEVELS} levels, less their mean, without the last pixel: 63 numbers, and "
        "nats of these; a Gaussian has −96.5 (the MAF paper's rows: −96.7)",
    )
    return Splits(parts[0], parts[1], parts[2], columns, "bsds300", notes=notes)


def _pictures(path: Path) -> NDArray[np.uint8]:
    """The pictures (n, height, width) that stand below one another in a file."""
    with open_picture(path, path) as image:
        width, height = image.size
        if image.mode != "L" or width != WIDTH or height % HEIGHT or height < 2 * HEIGHT:
            raise DataError(
                f"{path}: expected grey pictures of {WIDTH}×{HEIGHT} pixels below one another, at least two, got mode {image.mode} "
                f"of {width}×{height}; {REMEDY}"
            )
        load_picture(image, path)
        return np.asarray(image).reshape(-1, HEIGHT, WIDTH)


def _patches(pictures: NDArray[np.uint8], rows: int, seed: int, name: str) -> torch.Tensor:
    draws = np.random.default_rng(seed_for(seed, "patches", name))
    picture = draws.integers(len(pictures), size=rows)
    top, left = draws.integers(HEIGHT - SIDE + 1, size=rows), draws.integers(WIDTH - SIDE + 1, size=rows)
    side = np.arange(SIDE)
    values = pictures[
        picture[:, None, None], top[:, None, None] + side[:, None], left[:, None, None] + side[None, :]
    ].reshape(rows, SIDE * SIDE)
    x = (values + draws.random(values.shape)) / BYTE_LEVELS
    x -= x.mean(1, keepdims=True)
    return torch.from_numpy(x[:, :-1].astype(np.float32))
