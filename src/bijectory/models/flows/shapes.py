"""The event shapes that flows over vectors accept."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ShapeError
from ..base import as_shape


def vector_features(event_shape: int | Sequence[int], least: int = 1) -> int:
    """The number of features of a vector event, given as an int or as (features,)."""
    shape = as_shape(event_shape)
    if len(shape) != 1 or shape[0] < least:
        raise ShapeError(f"event_shape: expected (features,) with at least {least}, got {shape}")
    return shape[0]
