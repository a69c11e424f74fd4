"""NICE over pictures, as in section 5 of its paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from ...distributions.base import Logistic, Normal
from ...errors import InputError
from ...nets.mlp import MLP
from ...transforms.base import Chain, Inverse, Transform
from ...transforms.coupling import Coupling, Partition
from ...transforms.elementwise import Shift
from ...transforms.normalise import DiagonalScale, Standardise
from ...transforms.reshape import Flatten
from ..flow import Flow
from .shapes import check_layers, picture_shape


def nice_image(
    event_shape: Sequence[int],
    *,
    depth: int = 4,
    hidden: Sequence[int] = (1000, 1000, 1000, 1000, 1000),
    base: Literal["logistic", "normal"] = "logistic",
    standardise: bool = True,
) -> Flow:
    """A picture as a vector of its numbers: ``depth`` couplings z_B = x_B + t(x_A), even and odd numbers in turn, then z = x · exp(s).

        log|det| = Σ s, the same everywhere

    Networks are ReLU perceptrons with layers of ``hidden`` units. Latents have the picture's shape. Wrap it for integers:
    ``Quantised(nice_image((1, 28, 28)), levels, alpha=None)``, whose numbers in [0, 1] are the paper's.

    ``standardise`` puts each number's mean and deviation first, in the data's own units, so that the trained scales need not find them:
    on MNIST it begins at 6.2 bits/dim instead of 10.0. Initialise with thousands of pictures: a pixel that is dark in all of a small
    batch would be scaled by its noise alone.

    Source: Dinh, Krueger & Bengio 2014 (NICE, arXiv:1410.8516, section 5: MNIST with four couplings and a logistic prior). Differs:
    ``standardise``; without it the model is the paper's.
    Raises ShapeError for anything but (channels, height, width), InputError for an unknown base.

    >>> nice_image((1, 4, 4), hidden=(16,)).sample(3).shape
    torch.Size([3, 1, 4, 4])
    """
    shape = picture_shape(event_shape, least=2)
    check_layers(depth, hidden)
    if base not in ("logistic", "normal"):
        raise InputError(f"base: expected 'logistic' or 'normal', got {base!r}")
    features = math.prod(shape)
    transforms: list[Transform] = [Flatten(shape)]
    if standardise:
        transforms.append(Standardise((features,)))
    for layer in range(depth):
        partition = Partition.alternating(features, layer)
        net = MLP(len(partition.staying), (len(partition.moving), 1), hidden=hidden)
        transforms.append(Coupling(partition, Shift(), net))
    transforms += [DiagonalScale((features,)), Inverse(Flatten(shape))]
    return Flow(Logistic(shape) if base == "logistic" else Normal(shape), Chain(transforms))
