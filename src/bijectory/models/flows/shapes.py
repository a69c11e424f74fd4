"""The event shapes that flows over vectors accept."""

from __future__ import annotations

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
