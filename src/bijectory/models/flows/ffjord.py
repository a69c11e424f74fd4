"""FFJORD: a continuous flow whose field any network may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from ...nets.field import TimeMLP
from ...numerics.ode import Solver
from ...transforms.base import Chain, Transform
from ...transforms.continuous import Continuous
from ...transforms.normalise import Standardise
from ..base import as_shape
from ..estimated import EstimatedFlow
from ..flow import Flow
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


@overload
def ffjord(
    event_shape: int | Sequence[int],
    *,
    depth: int = ...,
    hidden: Sequence[int] = ...,
    activation: str = ...,
    trace: Literal["exact"] = ...,
    steps: int = ...,
    solver: Solver = ...,
    rtol: float = ...,
    atol: float = ...,
    accuracy: float = ...,
    squash: bool = ...,
    base: BaseChoice = ...,
    context_dim: int = ...,
) -> Flow: ...


@overload
def ffjord(
    event_shape: int | Sequence[int],
    *,
    depth: int = ...,
    hidden: Sequence[int] = ...,
    activation: str = ...,
    trace: Literal["hutchinson"],
    steps: int = ...,
    solver: Solver = ...,
    rtol: float = ...,
    atol: float = ...,
    accuracy: float = ...,
    squash: bool = ...,
    base: BaseChoice = ...,
    context_dim: int = ...,
) -> EstimatedFlow: ...


def ffjord(
    event_shape: int | Sequence[int],
    *,
    depth: int = 1,
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
    trace: Literal["exact", "hutchinson"] = "exact",
    steps: int = 16,
    solver: Solver = "rk4",
    rtol: float = 1e-6,
    atol: float = 1e-6,
    accuracy: float = 0.0,
    squash: bool = True,
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow | EstimatedFlow:
    """``depth`` continuous flows one behind the other, each along the field of a perceptron of time, x and context.

        dx/dt = field(t, x; c),   log|det ∂z/∂x| = ∫₀¹ tr ∂field/∂x dt

    With ``trace="exact"`` a Flow, each slope at D vector-Jacobian products; with ``"hutchinson"`` an EstimatedFlow, at one. ``steps`` of
    rk4 or the tolerances of dopri5 (extra ``ode``) decide how well the integral, and with it the density, is computed; ``accuracy`` says
    how far off it may be, which ``verify`` holds it to: see ``Continuous``.

    Source: Grathwohl et al. 2018 (arXiv:1810.01367). Differs: fixed steps by default; time enters the first layer instead of gating each;
    gradients go through the solver's steps instead of the adjoint equation; data are standardised first.

    Raises InputError for the activation relu, whose kinks no solver of order 4 follows.

    >>> ffjord(2, hidden=(8,), steps=4).sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    shape = as_shape(features)
    transforms: list[Transform] = [Standardise(shape)]
    for _ in range(depth):
        field = TimeMLP(features, hidden=hidden, activation=activation, context_dim=context_dim, squash=squash)
        path = Continuous(
            field, trace=trace, steps=steps, solver=solver, rtol=rtol, atol=atol, accuracy=accuracy / depth
        )
        transforms.append(path)
    make = Flow if trace == "exact" else EstimatedFlow
    return make(as_base(base, shape), Chain(transforms), context_dim=context_dim)
