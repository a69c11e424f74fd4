"""Sylvester flow."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InputError
from ...transforms.base import Chain, Transform
from ...transforms.normalise import Standardise
from ...transforms.sylvester import Sylvester
from ..base import as_shape
from ..flow import Flow
from .amortised import context_net
from .bases import BaseChoice, as_base
from .shapes import check_layers, vector_features


def sylvester(
    event_shape: int | Sequence[int],
    *,
    depth: int = 8,
    terms: int | None = None,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    base: BaseChoice = "normal",
    context_dim: int = 0,
) -> Flow:
    """``depth`` maps that each bend ``terms`` orthogonal directions at once, all of them where ``terms`` is None.

        z = x + Q A tanh(B Qᵀx + b)

    With a context every layer's A, B and b move by what an MLP of ``hidden`` units makes of it; without one ``hidden`` and
    ``activation`` say nothing. Source: van den Berg et al. 2018 (arXiv:1803.05649), the Householder variant. Differs: the map goes
    from data to latent; samples solve one equation a term; Q does not depend on the context; data are standardised first.

    >>> sylvester(3, depth=2, terms=2).sample(4).shape
    torch.Size([4, 3])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    terms = features if terms is None else terms
    if not 1 <= terms <= features:
        raise InputError(f"terms: expected between 1 and the {features} features, or None for all of them, got {terms}")
    shape = as_shape(features)
    transforms: list[Transform] = [Standardise(shape)]
    for _ in range(depth):
        net = context_net(context_dim, Sylvester.num_params(terms), hidden, activation)
        transforms.append(Sylvester(features, terms, net))
    return Flow(as_base(base, shape), Chain(transforms), context_dim=context_dim)
