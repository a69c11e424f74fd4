"""A residual network over pictures, from the part of a picture that stays to the parameters of the part that moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from .conv import Conv2d
from .mlp import squashed


class _Bottleneck(nn.Module):
    """u = conv1×1(relu(conv3×3(relu(conv1×1(h)))))."""

    def __init__(self, filters: int, weight_norm: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Conv2d(filters, filters, kernel=k, weight_norm=weight_norm) for k in (1, 3, 1))

    def forward(self, h: Tensor) -> Tensor:
        narrow, middle, wide = self.convs
        # In place: a convolution keeps its input for the gradient, not its output.
        return wide(torch.relu_(middle(torch.relu_(narrow(h)))))

    def initialise(self, h: Tensor) -> Tensor:
        narrow, middle, wide = cast("list[Conv2d]", list(self.convs))
        return wide.initialise(torch.relu_(middle.initialise(torch.relu_(narrow.initialise(h)))))


def _channels_last(x: Tensor) -> Tensor:
    """The same pictures (rows, C, H, W), channel beside channel in memory, as convolutions on every device like them best.

    By permutations and not by memory_format, which torch.func.vmap does not know; nothing is copied where they lie so already.
    """
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class ResNet(nn.Module):
    """h = conv3×3(x); ``blocks`` times h = h + conv1×1(relu(conv3×3(relu(conv1×1(h))))); conv3×3(relu(h)).

    ``out_shape`` is (channels, parameters of each number); x (*batch, in_channels, H, W) -> (*batch, channels, H, W, parameters), of any
    height and width, the last as a view. ``gain`` is the deviation at which ``initialise`` starts the last convolution, see
    ``Conv2d``; before and after, 0 means outputs of exactly 0. ``squash`` has the net read 5·tanh(x/5), see ``squashed``.

    With ``bounded`` the last parameter is a log-scale kept in a learned bound,

        s = scale · tanh(a) + shift,   scale = 1 and shift = 0 at first, one of each per channel.

    Raises InputError for a context, which no layer reads.
    Source: the conditioner of CS294-158's RealNVP (homework 2, part 2), after He et al. 2015 (arXiv:1512.03385).

    >>> import torch
    >>> ResNet(3, (3, 2), filters=8, blocks=1, bounded=True)(torch.zeros(5, 3, 8, 4)).shape
    torch.Size([5, 3, 8, 4, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_shape: Sequence[int],
        *,
        filters: int = 256,
        blocks: int = 8,
        weight_norm: bool = True,
        gain: float = 0.0,
        bounded: bool = False,
        squash: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, filters) < 1 or blocks < 0:
            raise InputError(
                f"in_channels, filters, blocks: expected at least 1, 1 and 0, got {in_channels}, {filters} and {blocks}"
            )
        self.out_shape, self.squash = (out_shape[0], out_shape[1]), squash
        self.first = Conv2d(in_channels, filters, weight_norm=weight_norm)
        self.blocks = nn.ModuleList(_Bottleneck(filters, weight_norm) for _ in range(blocks))
        self.last = Conv2d(filters, math.prod(self.out_shape), weight_norm=weight_norm, gain=gain)
        self.bound_scale = nn.Parameter(torch.ones(out_shape[0], 1, 1)) if bounded else None
        self.bound_shift = nn.Parameter(torch.zeros(out_shape[0], 1, 1)) if bounded else None

    def _rows(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(*batch, C, H, W) -> (rows, C, H, W), squashed."""
        if context is not None:
            raise InputError(
                f"context: expected none, got {tuple(context.shape)}; a ResNet reads pictures alone: leave the context out"
            )
        # By its product and not by −1, which an empty batch leaves undetermined.
        return _channels_last(squashed(x, self.squash).reshape(math.prod(x.shape[:-3]), *x.shape[-3:]))

    def _as_params(self, y: Tensor, x: Tensor) -> Tensor:
        """(rows, parameters · channels, H, W) -> (*batch, channels, H, W, parameters), in x's dtype."""
        channels, num_params = self.out_shape
        # Back from a network's lower precision before the bound: a log-scale is read in the dtype of the log-det.
        params = y.to(x.dtype).reshape(*x.shape[:-3], num_params, channels, *x.shape[-2:])
        if self.bound_scale is not None and self.bound_shift is not None:
            others, raw = params.split((num_params - 1, 1), -4)
            params = torch.cat([others, torch.addcmul(self.bound_shift, self.bound_scale, torch.tanh(raw))], -4)
        return params.movedim(-4, -1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        # Again, for pictures of one channel, whose layout tells a convolution nothing.
        h = _channels_last(self.first(self._rows(x, context)))
        for block in self.blocks:
            h = h + block(h)
        return self._as_params(self.last(torch.relu_(h)), x)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Initialise every convolution on what those before it make of x (*batch, in_channels, H, W), and return the parameters."""
        h = self.first.initialise(self._rows(x, context))
        for block in cast("list[_Bottleneck]", list(self.blocks)):
            h = h + block.initialise(h)
        return self._as_params(self.last.initialise(torch.relu_(h)), x)
