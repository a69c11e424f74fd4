"""A residual network over pictures, from the part of a picture that stays to the parameters of the part that moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from .conv import Conv2d
from .picture_net import PictureNet, channels_last


class Bottleneck(nn.Module):
    """u = conv1×1(relu(conv3×3(relu(conv1×1(h))))), its convolutions masked where a ``mask`` (filters, filters) is given."""

    def __init__(self, filters: int, weight_norm: bool, mask: Tensor | None = None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            Conv2d(filters, filters, kernel=k, weight_norm=weight_norm, mask=mask) for k in (1, 3, 1)
        )

    def forward(self, h: Tensor) -> Tensor:
        narrow, middle, wide = self.convs
        # In place: a convolution keeps its input for the gradient, not its output.
        return wide(torch.relu_(middle(torch.relu_(narrow(h)))))

    def initialise(self, h: Tensor) -> Tensor:
        narrow, middle, wide = cast("list[Conv2d]", list(self.convs))
        return wide.initialise(torch.relu_(middle.initialise(torch.relu_(narrow.initialise(h)))))


def through(first: Conv2d, blocks: nn.ModuleList, last: Conv2d, h: Tensor, *, initialise: bool) -> Tensor:
    """What a residual network's layers make of rows h (rows, channels, H, W), initialised on the way where it is asked for."""
    # Again, for pictures of one channel, whose layout tells a convolution nothing.
    h = channels_last(first.initialise(h) if initialise else first(h))
    for block in cast("list[Bottleneck]", list(blocks)):
        h = h + (block.initialise(h) if initialise else block(h))
    h = torch.relu_(h)
    return last.initialise(h) if initialise else last(h)


class ResNet(PictureNet):
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
        super().__init__(out_shape, bounded=bounded, squash=squash)
        if min(in_channels, filters) < 1 or blocks < 0:
            raise InputError(
                f"in_channels, filters, blocks: expected at least 1, 1 and 0, got {in_channels}, {filters} and {blocks}"
            )
        self.first = Conv2d(in_channels, filters, weight_norm=weight_norm)
        self.blocks = nn.ModuleList(Bottleneck(filters, weight_norm) for _ in range(blocks))
        self.last = Conv2d(filters, math.prod(self.out_shape), weight_norm=weight_norm, gain=gain)

    def _outputs(self, h: Tensor, context: Tensor | None, *, initialise: bool) -> Tensor:
        if context is not None:
            raise InputError(
                f"context: expected none, got {tuple(context.shape)}; a ResNet reads pictures alone: leave the context out"
            )
        return through(self.first, self.blocks, self.last, h, initialise=initialise)
