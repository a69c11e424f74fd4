"""Pictures of any shape made on the spot: for smoke runs, tests and machines without data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError
from ..numerics.seeds import seed_for
from .splits import Rows, Splits

#: Every picture has this many blobs.
BLOBS = 3


def generated_pictures(shape: Sequence[int], levels: int, rows: int, seed: int) -> Splits:
    """Coloured blobs on a slope of light: x (rows, channels, height, width) uint8 in 0..levels-1, no labels.

        v(c, i, j) = light(i, j) + sum_k colour_k(c) exp(-|(i, j) - centre_k|² / (2 width_k²)),   x = floor(levels v / (1 + max v))

    Neighbouring pixels and channels agree, as in photographs: a model that learns has something to learn. 80 % to train, 10 % to
    choose weights by, 10 % to test; the same pictures on every machine for a (shape, levels, rows, seed).

    Raises:
        DataError: a shape that is no (channels, height, width), fewer than 3 rows, levels outside 2..256.

    Example:
        >>> splits = generated_pictures((3, 8, 8), levels=4, rows=20, seed=0)
        >>> tuple(splits.train.x.shape), splits.schema.levels
        ((16, 3, 8, 8), 4)
    """
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"shape: expected (channels, height, width), each at least 1, got {tuple(shape)}")
    if rows < 3:
        raise DataError(f"rows: expected at least 3, one for each split, got {rows}")
    if not 2 <= levels <= 1 << 8:
        raise DataError(f"levels: expected 2 to {1 << 8}, got {levels}; pictures are stored in one byte a value")
    x = torch.from_numpy(_blobs((shape[0], shape[1], shape[2]), levels, rows, seed))
    tenth = max(1, rows // 10)
    train, validation = x[: rows - 2 * tenth], x[rows - 2 * tenth : rows - tenth]
    return Splits(Rows(train), Rows(validation), Rows(x[rows - tenth :]), (), "generated", levels=levels)


def _blobs(shape: tuple[int, int, int], levels: int, rows: int, seed: int) -> NDArray[np.uint8]:
    channels, height, width = shape
    draws = np.random.default_rng(seed_for(seed, "generated_pictures"))
    i = (np.arange(height) + 0.5)[:, None] / height
    j = (np.arange(width) + 0.5)[None, :] / width
    tilt, brightness = draws.uniform(-0.3, 0.3, (2, rows, 1, 1)), draws.uniform(0.3, 0.5, (rows, 1, 1))
    light = brightness + tilt[0] * (i - 0.5) + tilt[1] * (j - 0.5)
    v = np.repeat(light[:, None], channels, axis=1)
    for _ in range(BLOBS):
        centre, spread = draws.uniform(0.15, 0.85, (2, rows, 1, 1)), draws.uniform(0.1, 0.3, (rows, 1, 1))
        # Channels share a brightness and differ a little, so that colours are neither grey nor independent.
        colour = draws.uniform(0.3, 1.0, (rows, 1)) * draws.uniform(0.5, 1.0, (rows, channels))
        bump = np.exp(-((i - centre[0]) ** 2 + (j - centre[1]) ** 2) / (2 * spread**2))
        v += colour[:, :, None, None] * bump[:, None]
    return np.floor(levels * v / (1 + v.max())).astype(np.uint8)
