"""NICE: additive couplings and one diagonal scaling."""

from __future__ import annotations

from collections.abc import Sequence

from ...nets.mlp import MLP
from ...transforms.base import Chain, Transform
from ...transforms.coupling import Coupling, Partition
from ...transforms.elementwise import Shift
from ...transforms.normalise import DiagonalScale, Standardise
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def nice(
    event_shape: int | Sequence[int],
    *,
    depth: int = 4,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    squash: bool = False,
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow:
    """``depth`` couplings z_B = x_B + t(x_A), even and odd coordinates moving in turn, then z = x · exp(s).

        log|det| = Σ s, the same everywhere

    Source: Dinh, Krueger & Bengio 2014 (arXiv:1410.8516). Differs: data are standardised first.

    >>> nice(2).sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape, least=2)
    check_layers(depth, hidden)
    shape = as_shape(features)
    transforms: list[Transform] = [Standardise(shape)]
    for layer in range(depth):
        partition = Partition.alternating(features, layer)
        net = MLP(
            len(partition.staying),
            (len(partition.moving), 1),
            hidden=hidden,
            activation=activation,
            squash=squash,
            context_dim=context_dim,
        )
        transforms.append(Coupling(partition, Shift(), net))
    transforms.append(DiagonalScale(shape))
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
