"""Flow++ over vectors: couplings by a mixture CDF and an affine map behind it, ActNorm between them."""

from __future__ import annotations

from collections.abc import Sequence

from ...nets.mlp import MLP
from ...transforms.base import Chain, Transform
from ...transforms.composed import Composed
from ...transforms.coupling import Coupling, Partition
from ...transforms.elementwise import Affine
from ...transforms.mixtures import MixtureCDF, logistic_spread
from ...transforms.normalise import ActNorm, Standardise
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def flowpp(
    event_shape: int | Sequence[int],
    *,
    depth: int = 4,
    components: int = 8,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    squash: bool = True,
    scale: float = 2.0,
    base: BaseChoice = "logistic",
    context_dim: int = 0,
) -> Flow:
    """``depth`` couplings, even and odd coordinates moving in turn, each followed by an ActNorm.

        z_B = logit F(x_B; net(x_A)) · exp(s(x_A)) + t(x_A),   F the CDF of a mixture of logistics,  |s| ≤ scale

    Source: Ho et al. 2019 (Flow++, arXiv:1902.00275), the coupling of its section 3.2. Differs: vectors, so MLPs instead of convolutions
    with attention; no variational dequantisation; a logistic base, that of the logit scale; data are standardised first.

    Raises ShapeError for fewer than two features.

    >>> flowpp(2, depth=2, components=4).sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape, least=2)
    check_layers(depth, hidden)
    shape = as_shape(features)
    elementwise = Composed([MixtureCDF(components, "logistic", spread=logistic_spread(components, 1.0)), Affine(scale)])
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
        )
        transforms += [Coupling(partition, elementwise, net), ActNorm(shape)]
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
