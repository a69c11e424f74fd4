"""Block neural autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence

from ...transforms.base import Chain, Transform
from ...transforms.block_autoregressive import BlockAutoregressive
from ...transforms.linear import Permute
from ...transforms.normalise import Standardise
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def bnaf(
    event_shape: int | Sequence[int],
    *,
    depth: int = 2,
    width: int = 16,
    layers: int = 1,
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow:
    """``depth`` monotone networks over all coordinates at once, the order reversed from one to the next.

        z_i = g x_i + (1 − g) f_i(x_i; x_{<i}),   f_i increasing in x_i

    ``width`` is the number of tanh units a coordinate and layer. Source: De Cao et al. 2019 (arXiv:1904.04676). Differs: every map
    is onto ℝ, its gate bounded from below; samples solve one equation a coordinate and network; data are standardised first.

    >>> bnaf(3, width=4).sample(4).shape
    torch.Size([4, 3])
    """
    features = vector_features(event_shape)
    check_layers(depth, (width,))
    shape = as_shape(features)
    transforms: list[Transform] = [Standardise(shape)]
    for layer in range(depth):
        if layer and features > 1:
            transforms.append(Permute(range(features - 1, -1, -1)))
        transforms.append(BlockAutoregressive(features, width=width, layers=layers, context_dim=context_dim))
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
