"""The masked residual network of an autoregression over the planes of a picture, its filters sorted by degree as MADE's units are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, ShapeError
from .conv import Conv2d
from .made import hidden_degrees, made_masks
from .mlp import squashed
from .picture_net import PictureNet, channels_last
from .resnet import Bottleneck, through


@dataclass
class _Cache:
    """What sampling has computed so far: the planes read, and of each convolution's input the filters reached, (rows, filters, H, W)."""

    rank: int
    #: Of a position's value, (*batch, H, W).
    shape: torch.Size
    inputs: list[Tensor]
    weights: list[Tensor]


class ChannelMADE(PictureNet):
    """A masked ``ResNet``: x (*batch, C, H, W) -> (*batch, C, H, W, num_params), plane c's from all places of the planes before it.

        a filter of degree d reads planes and filters of degree ≤ d;   outputs of the plane of degree d read filters of degree < d

    The planes have degrees 1 … C in ``order``, filters 1 … C − 1, spread evenly and sorted. Convolutions are masked between channels and
    not in space, so the parameters of a plane are one call's work, and those of the first plane, which sees nothing, are the same
    everywhere. Meets ``CausalNet``, planes in place of numbers: ``step`` computes only the filters of the degree just reached, so
    all steps together cost about one call. Layers, ``weight_norm``, ``gain``, ``bounded``, ``squash`` and ``initialise`` are ``ResNet``'s.

    Source: Germain et al. 2015 (MADE, arXiv:1502.03509), its masks between channels; CS294-158, homework 2, which asks for an
    autoregressive flow over colour channels. Raises ShapeError for fewer than two channels, InputError for an ``order`` that is no
    permutation, fewer filters than degrees to carry, or a context.

    >>> import torch
    >>> ChannelMADE(3, 2, filters=8, blocks=1)(torch.zeros(5, 3, 8, 4)).shape
    torch.Size([5, 3, 8, 4, 2])
    """

    event_dim = 3

    def __init__(
        self,
        channels: int,
        num_params: int,
        *,
        filters: int = 64,
        blocks: int = 2,
        order: Sequence[int] | None = None,
        weight_norm: bool = True,
        gain: float = 0.0,
        bounded: bool = False,
        squash: bool = False,
    ) -> None:
        super().__init__((channels, num_params), bounded=bounded, squash=squash)
        if channels < 2:
            raise ShapeError(f"channels: expected at least two, one before another, got {channels}; squeeze first")
        self.order = tuple(range(channels)) if order is None else tuple(order)
        if sorted(self.order) != list(range(channels)):
            raise InputError(f"order: expected each of 0..{channels - 1} once, got {self.order}")
        if filters < channels - 1 or blocks < 0:
            raise InputError(
                f"filters, blocks: expected at least {channels - 1} filters, one for each degree, and 0 blocks, got {filters} and "
                f"{blocks}; with fewer, some planes could not see those before them"
            )
        planes = torch.empty(channels, dtype=torch.long)
        planes[list(self.order)] = torch.arange(1, channels + 1)
        degrees = hidden_degrees(filters, channels, 1)
        # Filters of degree below 0, 1, 2, …: those a step has made are the ones before.
        self._reached = [int((degrees < rank).sum()) for rank in range(channels + 1)]
        # Outputs stand parameter by parameter, each with all its planes.
        first, inner, last = made_masks(planes, [degrees, degrees], planes.repeat(num_params))
        self.first = Conv2d(channels, filters, weight_norm=weight_norm, mask=first)
        self.blocks = nn.ModuleList(Bottleneck(filters, weight_norm, inner) for _ in range(blocks))
        self.last = Conv2d(filters, channels * num_params, weight_norm=weight_norm, gain=gain, mask=last)

    def _outputs(self, h: Tensor, context: Tensor | None, *, initialise: bool) -> Tensor:
        _refuse(context)
        return through(self.first, self.blocks, self.last, h, initialise=initialise)

    def _convs(self) -> list[Conv2d]:
        """All convolutions, in the order in which they are run."""
        blocks = cast("list[Bottleneck]", list(self.blocks))
        return [self.first, *(cast("Conv2d", conv) for block in blocks for conv in block.convs), self.last]

    def start(self, shape: torch.Size, context: Tensor | None = None) -> _Cache:
        """Open a cache for sampling planes of that shape, (*batch, H, W)."""
        _refuse(context)
        weights = [conv.effective_weight() for conv in self._convs()]
        # The first layer's columns in the order in which the planes come to be known: those known are then its first ones.
        weights[0] = weights[0][:, list(self.order)]
        return _Cache(0, torch.Size(shape), [], weights)

    def step(self, cache: _Cache, previous: Tensor | None) -> tuple[Tensor, _Cache]:
        """Parameters (*batch, H, W, num_params) of the next plane, given the one before (*batch, H, W) (None at first)."""
        rank, plane = cache.rank, self.order[cache.rank]
        rows, (height, width) = math.prod(cache.shape[:-2]), cache.shape[-2:]
        inputs: list[Tensor] = []
        if previous is None:
            y = self.last.bias[plane :: self.out_shape[0], None, None].expand(rows, -1, height, width)
        else:
            fresh = channels_last(squashed(previous, self.squash).reshape(rows, 1, height, width))
            reached = slice(self._reached[rank], self._reached[rank + 1])
            h = self._fresh(cache, inputs, fresh, reached)
            for _ in self.blocks:
                u = torch.relu_(self._fresh(cache, inputs, h, reached))
                u = torch.relu_(self._fresh(cache, inputs, u, reached))
                h = h + self._fresh(cache, inputs, u, reached)
            y = self._fresh(cache, inputs, torch.relu(h), slice(plane, None, self.out_shape[0]))
        # Back from a network's lower precision before the bound, as a call does.
        params = self._held(y.to(self.last.bias.dtype).unsqueeze(-3), slice(plane, plane + 1)).squeeze(-3)
        params = params.movedim(-3, -1).reshape(*cache.shape, self.out_shape[1])
        return params, _Cache(rank + 1, cache.shape, inputs, cache.weights)

    def _fresh(self, cache: _Cache, inputs: list[Tensor], fresh: Tensor, outputs: slice) -> Tensor:
        """Some outputs of the next convolution, from those inputs that are known already and ``fresh`` behind them, which are kept."""
        layer = len(inputs)
        below = torch.cat([cache.inputs[layer], fresh], 1) if cache.inputs else fresh
        inputs.append(below)
        weight, bias = cache.weights[layer][outputs, : below.shape[1]], self._convs()[layer].bias[outputs]
        return F.conv2d(below, weight, bias, padding=weight.shape[-1] // 2)


def _refuse(context: Tensor | None) -> None:
    if context is not None:
        raise InputError(
            f"context: expected none, got {tuple(context.shape)}; a ChannelMADE reads planes alone: leave the context out"
        )
