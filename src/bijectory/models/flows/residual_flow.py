"""Residual flow: contractions added to the identity, with an exact log-det or an unbiased series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from ...nets.lipschitz import LipschitzMLP
from ...transforms.base import Chain, Transform
from ...transforms.normalise import ActNorm, Standardise
from ...transforms.residual import Residual
from ..base import as_shape
from ..estimated import EstimatedFlow
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


@overload
def residual_flow(
    event_shape: int | Sequence[int],
    *,
    depth: int = ...,
    hidden: Sequence[int] = ...,
    lipschitz: float = ...,
    log_det: Literal["exact"] = ...,
    terms: int = ...,
    survival: float | None = ...,
    actnorm: bool = ...,
    squash: bool = ...,
    base: BaseChoice = ...,
    context_dim: int = ...,
) -> Flow: ...


@overload
def residual_flow(
    event_shape: int | Sequence[int],
    *,
    depth: int = ...,
    hidden: Sequence[int] = ...,
    lipschitz: float = ...,
    log_det: Literal["estimate"],
    terms: int = ...,
    survival: float | None = ...,
    actnorm: bool = ...,
    squash: bool = ...,
    base: BaseChoice = ...,
    context_dim: int = ...,
) -> EstimatedFlow: ...


def residual_flow(
    event_shape: int | Sequence[int],
    *,
    depth: int = 8,
    hidden: Sequence[int] = (64, 64),
    lipschitz: float = 0.9,
    log_det: Literal["exact", "estimate"] = "exact",
    terms: int = 4,
    survival: float | None = None,
    actnorm: bool = True,
    squash: bool = True,
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow | EstimatedFlow:
    """``depth`` maps z = x + g(x; c) whose nets g shorten distances by ``lipschitz``, with an ActNorm behind each.

    With ``log_det="exact"`` a Flow that takes each Jacobian's determinant, for small dimensions; with ``"estimate"`` an EstimatedFlow,
    whose series of traces is at least ``terms`` long and survives each further one with probability ``survival``: see ``Residual``.

    Source: Chen et al. 2019 (arXiv:1906.02735). Differs: the Lipschitz constant is a bound that holds for any weights, where the paper
    has a power iteration's estimate, and 0.9 instead of 0.98; rows end their series apart; data are standardised first.

    >>> residual_flow(2, depth=2, hidden=(8,)).sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    shape = as_shape(features)
    transforms: list[Transform] = [Standardise(shape)]
    for _ in range(depth):
        net = LipschitzMLP(features, hidden=hidden, lipschitz=lipschitz, context_dim=context_dim, squash=squash)
        transforms.append(Residual(net, log_det=log_det, terms=terms, survival=survival))
        if actnorm:
            transforms.append(ActNorm(shape))
    make = Flow if log_det == "exact" else EstimatedFlow
    return make(as_base(base, shape), Chain(transforms), context_dim=context_dim)
