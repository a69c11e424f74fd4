"""The masked MLP of MADE, its hidden units sorted by degree so that sampling computes each of them once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..numerics.networks import masked, plan_of
from .mlp import Linear, activation_named, check_context, check_context_dim, hooked, on_circle, squashed


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
    """What sampling has computed so far, a column for each row of the batch: inputs read, and of each hidden layer the units reached.

    A layer's units are (units, rows) and stand in rising degree, so that those reached are one contiguous piece, and the next ones
    are written behind them.
    """

    rank: int
    batch: torch.Size
    read: Tensor | None
    hidden: list[Tensor]
    context: Tensor | None
    weights: list[Tensor]
    biases: list[Tensor]
    #: Where the units of all degrees will stand; None where a gradient is recorded, which must not be written over.
    room: list[Tensor] | None


class MADE(nn.Module):
    """A masked MLP: parameters (*batch, features, num_params), the i-th depending on x_j only for j before i in ``order``.

    The context enters the first layer through weights of its own, and hidden units of degree 0, which see nothing but the context,
    carry it to the first position too. (In nflows 0.14 and normflows 1.7.3 the first position's parameters do not depend on the
    context at all.) Meets ``CausalNet``: ``step`` computes only the hidden units of the degree just reached, so all steps together
    cost about one call. ``squash`` has it read 5·tanh(x/5), see ``squashed``; ``periodic`` has it read x as angles, by their cos and sin.

    Source: Germain et al. 2015 (arXiv:1502.03509). Differs: degrees are sorted and even, not random; no direct connections.
    Raises InputError where ``order`` is not a permutation or ``hidden`` has fewer units than degrees to carry.

    >>> import torch
    >>> MADE(3, 2, hidden=(16,))(torch.zeros(7, 3)).shape
    torch.Size([7, 3, 2])
    """

    event_dim = 1

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
        periodic: bool = False,
    ) -> None:
        super().__init__()
        check_context_dim(context_dim)
        self.squash, self.periodic = squash, periodic
        self.order = tuple(range(features)) if order is None else tuple(order)
        if sorted(self.order) != list(range(features)):
            raise InputError(f"order: expected each of 0..{features - 1} once, got {self.order}")
        self.features, self.num_params, self.context_dim = features, num_params, context_dim
        # In place, as the MLP's: a layer's output is read by nobody else.
        self.activation = torch.relu_ if activation == "relu" else activation_named(activation)
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
        # Units of each layer of degree below 0, 1, 2, …: those a step has made are the ones before.
        self._reached = [[int((d < rank).sum()) for rank in range(features + 1)] for d in self._degrees]
        # Of an angle the network reads cos and sin, so each position stands there twice.
        reads = in_degrees.repeat(2) if periodic else in_degrees
        masks = made_masks(reads, self._degrees, in_degrees.repeat_interleave(num_params))
        sizes = [len(reads), *self.widths, features * num_params]
        self.layers = nn.ModuleList(
            Linear(a, b, weight_norm=weight_norm, mask=mask, zero=zero and i == len(masks) - 1)
            for i, (a, b, mask) in enumerate(zip(sizes, sizes[1:], masks, strict=False))
        )
        self._widen(masks)
        # Not part of the state, as the masks are not.
        self.register_buffer("_plan", self._planned(masks), persistent=False)
        self._plan: Tensor | None
        self.context_layer = nn.Linear(context_dim, sizes[1], bias=False) if context_dim else None

    @torch.no_grad()
    def _widen(self, masks: Sequence[Tensor]) -> None:
        """Start hidden units within 1/√(inputs they see) in place of 1/√(all inputs), so that those of low degree are no quieter.

        A unit that sees nothing, of degree 0, counts as if it saw one. Of the last layer nothing is changed. MAF on california's 9 columns,
        seeds 1 to 3: 1.975 nats of validation rows in place of 2.061; bike, one seed: 10.13 in place of 10.36.
        """
        for layer, mask in zip(self._linears()[:-1], masks, strict=False):
            wider = torch.sqrt(mask.shape[1] / mask.sum(1).clamp(min=1))
            layer.weight.mul_(wider[:, None])
            layer.bias.mul_(wider)
            if layer.gain is not None:
                layer.gain.mul_(wider)

    def _linears(self) -> list[Linear]:
        return cast("list[Linear]", list(self.layers))

    def _read(self, x: Tensor) -> Tensor:
        return on_circle(x) if self.periodic else squashed(x, self.squash)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        check_context(context, self.context_dim)
        batch, (first, *rest) = x.shape[:-1], self._linears()
        # Vectors side by side, so that each unit, and each parameter in what comes out, is a row: whole rows are what sums, ReLUs and the
        # maps behind are quick at. A training step takes 0.84 of the time it took with a row for each vector.
        read = _side_by_side(self._read(x))
        if (whole := self._at_once(read, context, batch)) is not None:
            return whole.view(self.features, self.num_params, *batch).movedim((0, 1), (-2, -1))
        h = first.rows(read)
        if self.context_layer is not None:
            h = h + _side_by_side(self.context_layer(context).expand(*batch, -1))
        for layer in rest:
            h = layer.rows(self.activation(h))
        return h.view(self.features, self.num_params, *batch).movedim((0, 1), (-2, -1))

    def _planned(self, masks: Sequence[Tensor]) -> Tensor | None:
        """The plan of the network as one operator, the context's numbers standing before x's."""
        order, context = torch.tensor(self.order), self.context_dim
        read = torch.stack([order, order + self.features], 1).flatten() if self.periodic else order
        written = (order[:, None] * self.num_params + torch.arange(self.num_params)).flatten()
        seen = masks[0].new_ones(len(masks[0]), context)
        first = torch.cat([seen, masks[0]], 1)
        return plan_of([first, *masks[1:]], torch.cat([torch.arange(context), context + read]), written)

    def _at_once(self, read: Tensor, context: Tensor | None, batch: torch.Size) -> Tensor | None:
        """The whole network as one operator of a compiled graph, (inputs, n) -> (outputs, n), where it can be."""
        layers = self._linears()
        plain = (
            self.activation is torch.relu_ and self.widths and self._plan is not None and not any(map(hooked, layers))
        )
        if not plain or not masked.suits(read, [layer.weight for layer in layers]):
            return None
        # Of a plain weight, what is masked is not read: only a normalised one has to be made.
        weights = [layer.weight if layer.gain is None else layer.effective_weight() for layer in layers]
        if self.context_layer is not None and context is not None:
            read = torch.cat([_side_by_side(context.expand(*batch, -1)), read])
            weights[0] = torch.cat([self.context_layer.weight, weights[0]], 1)
        assert self._plan is not None
        return masked(read, weights, [layer.bias for layer in layers], self._plan)

    def start(self, batch: torch.Size, context: Tensor | None = None) -> _Cache:
        """Open a cache for sampling a batch of that shape."""
        check_context(context, self.context_dim)
        layers = self._linears()
        weights, biases = [layer.effective_weight() for layer in layers], [layer.bias.unsqueeze(-1) for layer in layers]
        # The first layer's columns in the order in which they come to be known: those known are then its first ones.
        order = list(self.order)
        if self.periodic:
            order = [read for i in order for read in (i, i + self.features)]
        if order != list(range(len(order))):
            weights[0] = weights[0][:, order]
        added, rows = None, math.prod(batch)
        if self.context_layer is not None:
            added = _side_by_side(self.context_layer(context).expand(*batch, -1))
        room = [weights[0].new_empty(count, rows) for count in (len(order), *self.widths)] if _plain() else None
        return _Cache(0, torch.Size(batch), None, [], added, weights, biases, room)

    def step(self, cache: _Cache, previous: Tensor | None) -> tuple[Tensor, _Cache]:
        """Parameters (*batch, num_params) of the next position, given the value (*batch) of the one before (None at first)."""
        rank, read = cache.rank, cache.read
        if previous is not None:
            fresh = self._read(previous.reshape(-1, 1)).t()
            read = _append(read, fresh, None if cache.room is None else cache.room[0])
        # `below` holds, layer by layer, the units of degree <= rank: those before it come from the cache, the new ones are made here.
        below, hidden = read, []
        for i, reached in enumerate(self._reached):
            first, last = reached[rank], reached[rank + 1]
            fresh = self._rows(cache, i, first, last, below)
            if i == 0 and cache.context is not None:
                fresh = fresh + cache.context[first:last]
            room = None if cache.room is None else cache.room[i + 1]
            below = _append(cache.hidden[i] if cache.hidden else None, self.activation(fresh), room)
            hidden.append(below)
        first = self.order[rank] * self.num_params
        params = self._rows(cache, -1, first, first + self.num_params, below)
        if not self.widths and cache.context is not None:
            params = params + cache.context[first : first + self.num_params]
        params = params.t().reshape(*cache.batch, self.num_params)
        following = _Cache(rank + 1, cache.batch, read, hidden, cache.context, cache.weights, cache.biases, cache.room)
        return params, following

    def _rows(self, cache: _Cache, layer: int, first: int, last: int, below: Tensor | None) -> Tensor:
        """Some units of a layer before their activation, (last − first, rows), from those units below that are known."""
        bias = cache.biases[layer][first:last]
        if below is None:
            return bias.repeat(1, math.prod(cache.batch))
        return torch.addmm(bias, cache.weights[layer][first:last, : len(below)], below)


def _side_by_side(x: Tensor) -> Tensor:
    """(*batch, n) -> (n, rows)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).t()


def _plain() -> bool:
    """Whether what is computed now may be written in place: no gradient, no graph, no functorch transform sees it."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())


def _append(known: Tensor | None, fresh: Tensor, room: Tensor | None) -> Tensor:
    """The rows of ``known`` and behind them those of ``fresh``; in place where there is room, since copying all grows with the square."""
    if room is None:
        return fresh if known is None else torch.cat([known, fresh])
    start = 0 if known is None else len(known)
    room[start : start + len(fresh)] = fresh
    return room[: start + len(fresh)]
