"""The event shapes that flows over vectors and pictures accept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import InputError, ShapeError
from ..base import as_shape


def vector_features(event_shape: int | Sequence[int], least: int = 1) -> int:
    """The number of features of a vector event, given as an int or as (features,)."""
    shape = as_shape(event_shape)
    if len(shape) != 1 or shape[0] < least:
        raise ShapeError(f"event_shape: expected (features,) with at least {least}, got {shape}")
    return shape[0]


def check_layers(depth: int, hidden: Sequence[int]) -> None:
    """Refuse a flow without layers, or layers without units."""
    if depth < 1:
        raise InputError(f"depth: expected at least one layer, got {depth}")
    if any(width < 1 for width in hidden):
        raise InputError(f"hidden: expected widths of at least 1, got {tuple(hidden)}")


def picture_shape(event_shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """The shape of a picture, (channels, height, width), of at least so many numbers."""
    shape = as_shape(event_shape)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) < least:
        raise ShapeError(f"event_shape: expected (channels, height, width) with at least {least} numbers, got {shape}")
    return shape[0], shape[1], shape[2]


def check_stages(
    shape: tuple[int, int, int], stages: Sequence[tuple[str, int]], *, unsqueeze: bool, spatial: bool
) -> None:
    """Refuse stages of another kind than checkerboard and channel, and pictures that cannot be halved as often as they ask.

    ``unsqueeze`` says that a channel stage's squeeze is undone at its end, ``spatial`` that it cuts what it squeezed in space.
    """
    if not stages:
        raise InputError("stages: expected at least one, got none")
    _, height, width = shape
    for kind, couplings in stages:
        if kind not in ("checkerboard", "channel") or couplings < 1:
            raise InputError(
                f"stages: expected pairs of 'checkerboard' or 'channel' and at least one coupling, got {(kind, couplings)}"
            )
        factor = 4 if kind == "channel" and spatial else 2
        if height % factor or width % factor:
            raise ShapeError(
                f"event_shape: a {kind} stage needs height and width divisible by {factor}, got {height}×{width}, which is what squeezes "
                f"leave of {shape[1]}×{shape[2]}; resize or crop pictures to a multiple of 8, or choose fewer 'channel' stages, or "
                "form='2020', which undoes its squeeze"
            )
        if kind == "channel" and not unsqueeze:
            height, width = height // 2, width // 2


def check_scales(shape: tuple[int, int, int], scales: int) -> None:
    """Refuse pictures that cannot be halved ``scales`` times."""
    if scales < 1:
        raise InputError(f"scales: expected at least 1, got {scales}")
    _, height, width = shape
    factor = 2**scales
    if height % factor or width % factor:
        most = next((n for n in range(scales, 0, -1) if height % 2**n == 0 and width % 2**n == 0), 0)
        remedy = f"choose scales={most}, or resize" if most else "resize"
        raise ShapeError(
            f"event_shape: {scales} scales need height and width divisible by {factor}, got {height}×{width}; {remedy} the pictures"
        )
