"""RealNVP over vectors: affine couplings that take turns, ActNorm between them."""

from __future__ import annotations

from collections.abc import Sequence

from ...nets.mlp import MLP
from ...transforms.base import Chain, Transform
from ...transforms.coupling import Coupling, Partition
from ...transforms.elementwise import Affine
from ...transforms.normalise import ActNorm, Standardise
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def realnvp(
    event_shape: int | Sequence[int],
    *,
    depth: int = 8,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    squash: bool = True,
    scale: float = 2.0,
    base: BaseChoice = "logistic",
    actnorm: bool = True,
    weight_norm: bool = False,
    context_dim: int = 0,
) -> Flow:
    """``depth`` affine couplings, even and odd coordinates moving in turn.

        z_B = x_B · exp(s(x_A)) + t(x_A),   |s| ≤ scale

    With the logistic base the latents, seen through the sigmoid, are uniform on the unit cube: the homework's last sigmoid, which
    cannot saturate here because it is never computed. Source: Dinh et al. 2016 (arXiv:1605.08803); CS294-158 homework 2, part 1.2.
    Differs: the log-scale's bound is a constant; ActNorm (Glow) instead of batch normalisation; data are standardised first.

    Raises ShapeError for fewer than two features.

    >>> realnvp(2, depth=4).log_prob(__import__("torch").zeros(3, 2)).shape
    torch.Size([3])
    """
    features = vector_features(event_shape, least=2)
    check_layers(depth, hidden)
    shape = as_shape(features)
    elementwise = Affine(scale)
    transforms: list[Transform] = [Standardise(shape)]
    for layer in range(depth):
        partition = Partition.alternating(features, layer)
        net = MLP(
            len(partition.staying),
            (len(partition.moving), elementwise.num_params),
            hidden=hidden,
            activation=activation,
            squash=squash,
            context_dim=context_dim,
            weight_norm=weight_norm,
        )
        transforms.append(Coupling(partition, elementwise, net))
        if actnorm:
            transforms.append(ActNorm(shape))
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
