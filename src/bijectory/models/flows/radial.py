"""Radial flow."""

from __future__ import annotations

from collections.abc import Sequence

from ...transforms.base import Chain, Transform
from ...transforms.normalise import Standardise
from ...transforms.radial import Radial
from ..base import as_shape
from ..flow import Flow
from .amortised import context_net
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def radial(
    event_shape: int | Sequence[int],
    *,
    depth: int = 16,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow:
    """``depth`` maps that each move everything towards one point, or away from it.

        z = x + m α/(α + |x − x₀|) · (x − x₀)

    With a context every layer's x₀, α and m move by what an MLP of ``hidden`` units makes of it; without one ``hidden`` and
    ``activation`` say nothing. Source: Rezende & Mohamed 2015 (arXiv:1505.05770). Differs: the map goes from data to latent; both
    directions are closed forms; data are standardised first.

    >>> radial(3, depth=2).sample(4).shape
    torch.Size([4, 3])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    shape = as_shape(features)
    transforms: list[Transform] = [Standardise(shape)]
    for _ in range(depth):
        net = context_net(context_dim, Radial.num_params(features), hidden, activation)
        transforms.append(Radial(features, net))
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
