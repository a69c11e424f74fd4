"""The masked MLP of MADE, its hidden units sorted by degree so that sampling computes each of them once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .mlp import Linear, activation_named, check_context, squashed


def made_masks(in_degrees: Tensor, hidden_degrees: Sequence[Tensor], out_degrees: Tensor) -> list[Tensor]:
    """Masks (out, in) of a masked MLP: hidden units see degrees up to their own, outputs only smaller ones.

    Source: Germain et al. 2015 (MADE, arXiv:1502.03509).
    """
    degrees = [in_degrees, *hidden_degrees]
    masks = [b[:, None] >= a[None, :] for a, b in itertools.pairwise(degrees)]
    return [*masks, out_degrees[:, None] > degrees[-1][None, :]]


def hidden_degrees(units: int, features: int, lowest: int) -> Tensor:
    """Degrees lowest..features−1 spread evenly over the units, in rising order."""
    return torch.sort(torch.arange(units) % max(features - lowest, 1) + lowest).values


@dataclass
class _Cache:
    """What sampling has computed so far: the values, and of each hidden layer the units whose degree is reached."""

    rank: int
    batch: torch.Size
    values: Tensor | None
    hidden: list[Tensor]
    context: Tensor | None
    weights: list[Tensor]


class MADE(nn.Module):
    """A masked MLP: parameters (*batch, features, num_params), the i-th depending on x_j only for j before i in ``order``.

    The context enters the first layer through weights of its own, and hidden units of degree 0, which see nothing but the context,
    carry it to the first position too. (In nflows 0.14 and normflows 1.7.3 the first position's parameters do not depend on the
    context at all.) Meets ``CausalNet``: ``step`` computes only the hidden units of the degree just reached, so all steps together
    cost about one call.

    Source: Germain et al. 2015 (arXiv:1502.03509). Differs: degrees are sorted and even, not random; no direct connections.
    Raises InputError where ``order`` is not a permutation or ``hidden`` has fewer units than degrees to carry.

    >>> import torch
    >>> MADE(3, 2, hidden=(16,))(torch.zeros(7, 3)).shape
    torch.Size([7, 3, 2])
    """

    def __init__(
        self,
        features: int,
        num_params: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        context_dim: int = 0,
        order: Sequence[int] | None = None,
        weight_norm: bool = False,
        zero: bool = True,
        squash: bool = False,
    ) -> None:
        super().__init__()
        self.squash = squash
        self.order = tuple(range(features)) if order is None else tuple(order)
        if sorted(self.order) != list(range(features)):
            raise InputError(f"order: expected each of 0..{features - 1} once, got {self.order}")
        self.features, self.num_params, self.context_dim = features, num_params, context_dim
        self.activation = activation_named(activation)
        lowest = 0 if context_dim else 1
        # One feature without context depends on nothing: hidden units would be weights that no gradient ever reaches.
        self.widths = tuple(hidden) if features > 1 or context_dim else ()
        if any(width < features - lowest for width in self.widths):
            raise InputError(
                f"hidden: expected at least {features - lowest} units a layer, one for each degree, got {self.widths}; with fewer, "
                "some positions could not see those before them"
            )
        in_degrees = torch.empty(features, dtype=torch.long)
        in_degrees[list(self.order)] = torch.arange(1, features + 1)
        self._degrees = [hidden_degrees(width, features, lowest) for width in self.widths]
        masks = made_masks(in_degrees, self._degrees, in_degrees.repeat_interleave(num_params))
        sizes = [features, *self.widths, features * num_params]
        self.layers = nn.ModuleList(
            Linear(a, b, weight_norm=weight_norm, mask=mask, zero=zero and i == len(masks) - 1)
            for i, (a, b, mask) in enumerate(zip(sizes, sizes[1:], masks, strict=False))
        )
        self.context_layer = nn.Linear(context_dim, sizes[1], bias=False) if context_dim else None

    def _linears(self) -> list[Linear]:
        return cast("list[Linear]", list(self.layers))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        check_context(context, self.context_dim)
        first, *rest = self._linears()
        h = first(squashed(x, self.squash))
        if self.context_layer is not None:
            h = h + self.context_layer(context)
        for layer in rest:
            h = layer(self.activation(h))
        return h.unflatten(-1, (self.features, self.num_params))

    def start(self, batch: torch.Size, context: Tensor | None = None) -> _Cache:
        """Open a cache for sampling a batch of that shape."""
        check_context(context, self.context_dim)
        weights = [layer.effective_weight() for layer in self._linears()]
        added = None if self.context_layer is None else self.context_layer(context).expand(*batch, -1)
        return _Cache(0, torch.Size(batch), None, [], added, weights)

    def step(self, cache: _Cache, previous: Tensor | None) -> tuple[Tensor, _Cache]:
        """Parameters (*batch, num_params) of the next position, given the value (*batch) of the one before (None at first)."""
        rank, layers = cache.rank, self._linears()
        values = cache.values
        if previous is not None:
            column = squashed(previous, self.squash).unsqueeze(-1)
            values = column if values is None else torch.cat([values, column], -1)
        # `below` holds, layer by layer, the units of degree <= rank: those before it come from the cache, the new ones are made here.
        below, hidden = values, []
        columns: Sequence[int] | slice = self.order[:rank]
        for i, degrees in enumerate(self._degrees):
            first, last = int((degrees < rank).sum()), int((degrees <= rank).sum())
            bias = layers[i].bias[first:last]
            weight = cache.weights[i][first:last]
            fresh = bias.expand(*cache.batch, -1) if below is None else F.linear(below, weight[:, columns], bias)
            if i == 0 and cache.context is not None:
                fresh = fresh + cache.context[..., first:last]
            fresh = self.activation(fresh)
            below = torch.cat([cache.hidden[i], fresh], -1) if cache.hidden else fresh
            hidden.append(below)
            columns = slice(0, last)
        rows = slice(self.order[rank] * self.num_params, (self.order[rank] + 1) * self.num_params)
        weight, bias = cache.weights[-1][rows], layers[-1].bias[rows]
        params = bias.expand(*cache.batch, -1) if below is None else F.linear(below, weight[:, columns], bias)
        if not self.widths and cache.context is not None:
            params = params + cache.context[..., rows]
        return params, _Cache(rank + 1, cache.batch, values, hidden, cache.context, cache.weights)
