"""Neural spline flow: rational-quadratic splines in couplings or in autoregression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...distributions.base import Normal
from ...errors import InputError
from ...nets.made import MADE
from ...nets.mlp import MLP
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Chain, Transform
from ...transforms.coupling import Coupling, Partition
from ...transforms.normalise import Standardise
from ...transforms.splines import RationalQuadraticSpline
from ..base import as_shape
from ..flow import Flow
from .shapes import check_layers, vector_features


def nsf(
    event_shape: int | Sequence[int],
    *,
    depth: int = 5,
    bins: int = 8,
    hidden: Sequence[int] = (128, 128),
    activation: str = "relu",
    squash: bool = True,
    bound: float = 5.0,
    floor: float = 1e-3,
    structure: Literal["coupling", "autoregressive"] = "coupling",
    context_dim: int = 0,
) -> Flow:
    """``depth`` layers of rational-quadratic splines, the identity at the start and outside [−bound, bound].

    Source: Durkan et al. 2019 (arXiv:1906.04032). Differs: partitions take turns and orders are reversed instead of a learned LU
    between layers; plain MLPs instead of residual nets; data are standardised first (call ``bijectory.initialise``).
    A single feature has nothing to couple with, so it is always autoregressive.

    >>> flow = nsf(2)
    >>> flow.sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    if structure not in ("coupling", "autoregressive"):
        raise InputError(f"structure: expected 'coupling' or 'autoregressive', got {structure!r}")
    shape = as_shape(features)
    elementwise = RationalQuadraticSpline(bins, bound, floor=floor)
    transforms: list[Transform] = [Standardise(shape)]
    for layer in range(depth):
        if structure == "autoregressive" or features == 1:
            order = range(features) if layer % 2 == 0 else range(features - 1, -1, -1)
            made = MADE(
                features,
                elementwise.num_params,
                hidden=hidden,
                activation=activation,
                squash=squash,
                context_dim=context_dim,
                order=tuple(order),
            )
            transforms.append(Autoregressive(elementwise, made))
        else:
            partition = Partition.alternating(features, layer)
            net = MLP(
                len(partition.staying),
                (len(partition.moving), elementwise.num_params),
                hidden=hidden,
                activation=activation,
                squash=squash,
                context_dim=context_dim,
            )
            transforms.append(Coupling(partition, elementwise, net))
    return Flow(Normal(shape), Chain(transforms), context_dim=context_dim)
