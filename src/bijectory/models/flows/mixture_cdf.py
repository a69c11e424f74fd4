"""The homework's first flow: autoregressive × mixture CDF × MADE, to the uniform density on the unit cube."""

from __future__ import annotations

from collections.abc import Sequence

from ...nets.made import MADE
from ...numerics.mixture import Kind
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Chain
from ...transforms.mixtures import MixtureCDF
from ...transforms.normalise import Standardise
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def mixture_cdf(
    event_shape: int | Sequence[int],
    *,
    components: int = 16,
    kind: Kind = "gaussian",
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    squash: bool = True,
    weight_norm: bool = False,
    base: BaseChoice = "logistic",
    context_dim: int = 0,
) -> Flow:
    """Each coordinate through the CDF of a mixture whose parameters depend on the coordinates before it.

        z_i = logit F(x_i; net(x_{<i})),   base: logistic, that is, uniform once seen through the sigmoid

    ``event_shape`` is (features,) or an int. Source: CS294-158 homework 2, part 1.1 (2019, 2020); Ho et al. 2019 (arXiv:1902.00275).
    Differs: the map ends on the logit scale, where nothing saturates; data are standardised first.

    >>> flow = mixture_cdf(2, components=4)
    >>> flow.sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape)
    check_layers(1, hidden)
    elementwise = MixtureCDF(components, kind)
    # Zero parameters put all components side by side over the data: the start that trains best, and it is finite anywhere.
    net = MADE(
        features,
        elementwise.num_params,
        hidden=hidden,
        activation=activation,
        squash=squash,
        context_dim=context_dim,
        weight_norm=weight_norm,
    )
    shape = as_shape(features)
    return Flow(
        as_base(base, shape), Chain([Standardise(shape), Autoregressive(elementwise, net)]), context_dim=context_dim
    )
