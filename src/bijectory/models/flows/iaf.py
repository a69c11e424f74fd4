"""Inverse autoregressive flow: a masked autoregressive flow read backwards, quick to sample."""

from __future__ import annotations

from collections.abc import Sequence

from ...nets.made import MADE
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Chain, Inverse, Transform
from ...transforms.elementwise import Affine
from ...transforms.normalise import Standardise
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def iaf(
    event_shape: int | Sequence[int],
    *,
    depth: int = 5,
    hidden: Sequence[int] = (128, 128),
    activation: str = "relu",
    squash: bool = True,
    scale: float = 3.0,
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow:
    """``depth`` affine layers whose parameters depend on the latents before, the order reversed from one to the next.

        x_i = z_i · exp(s(z_{<i})) + t(z_{<i}),   |s| ≤ scale

    The map of ``maf`` the other way round. Sampling is one pass, all coordinates at once, and gives each sample's exact log density with
    it, as variational inference wants; ``log_prob`` of other points, and with it maximum likelihood, goes coordinate by coordinate.

    Source: Kingma et al. 2016 (arXiv:1606.04934). Differs: a bounded log-scale instead of a gate σ·z + (1 − σ)·m, MADE alone without
    recurrent nets; the context enters every layer's MADE; data are standardised first.

    >>> iaf(3, depth=2).sample(4).shape
    torch.Size([4, 3])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    shape = as_shape(features)
    elementwise = Affine(scale)
    transforms: list[Transform] = [Standardise(shape)]
    for layer in range(depth):
        order = range(features) if layer % 2 == 0 else range(features - 1, -1, -1)
        net = MADE(
            features,
            elementwise.num_params,
            hidden=hidden,
            activation=activation,
            squash=squash,
            context_dim=context_dim,
            order=tuple(order),
        )
        transforms.append(Inverse(Autoregressive(elementwise, net)))
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
