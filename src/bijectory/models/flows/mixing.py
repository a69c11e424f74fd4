"""Linear maps between the layers of a flow, chosen by name."""

from __future__ import annotations

from typing import Literal

import torch

from ...errors import InputError
from ...numerics.seeds import generator_for
from ...transforms.base import Transform
from ...transforms.linear import LULinear, Permute
from ...transforms.orthogonal import Householder, Orthogonal

LinearChoice = Literal["none", "permutation", "lu", "householder", "orthogonal"]

_CHOICES = ("none", "permutation", "lu", "householder", "orthogonal")


def mixing(linear: LinearChoice, features: int, layer: int, *, permute: bool = True) -> list[Transform]:
    """What stands before the ``layer``-th layer: nothing, or a map that mixes the features; one feature has nothing to mix with.

    "permutation" is a fixed random one; "lu" is that followed by a trained LU map, as in neural spline flows; "householder" is
    a product of an even number of reflections, about as many as features; "orthogonal" any rotation. The trained ones start as the
    identity. ``permute`` set to False has "lu" keep the order of the features. Raises InputError for another name.

    >>> [type(part).__name__ for part in mixing("lu", 4, 0)]
    ['Permute', 'LULinear']
    """
    if linear not in _CHOICES:
        raise InputError(f"linear: expected {', '.join(map(repr, _CHOICES))}, got {linear!r}")
    if linear == "none" or features == 1:
        return []
    if linear == "householder":
        return [Householder(features, features + features % 2)]
    if linear == "orthogonal":
        return [Orthogonal(features)]
    # From features and layer alone: the order is part of the model's code, not of its state, and must come out the same on loading.
    order = torch.randperm(features, generator=generator_for("mixing", features, layer))
    permutation = Permute(order.tolist())
    if linear == "permutation":
        return [permutation]
    return [permutation, LULinear(features)] if permute else [LULinear(features)]
