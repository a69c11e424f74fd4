"""Convolutions, plain or weight-normalised, that can set their own scale from a batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, ShapeError


class Conv2d(nn.Module):
    """y = w ∗ x + b, same height and width, with w = g · v/|v| in each output channel where ``weight_norm`` is on.

    ``initialise`` sets g and b from a batch so that every channel of y has mean 0 and deviation ``gain`` over batch and space; before
    that, weights are uniform in ±1/√(fan in). With ``gain=0`` the outputs are exactly 0 from the start.

    x (rows, inputs, H, W) -> y (rows, outputs, H, W). Raises ShapeError for a kernel without a middle.
    Source: Salimans & Kingma 2016 (weight normalisation and its data-dependent start, arXiv:1602.07868).

    >>> import torch
    >>> y = Conv2d(3, 8).initialise(5 + torch.randn(16, 3, 4, 4))
    >>> y.shape, bool(y.mean((0, 2, 3)).abs().max() < 1e-3), bool((y.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-3)
    (torch.Size([16, 8, 4, 4]), True, True)
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 3, weight_norm: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ShapeError(
                f"kernel: expected an odd size, which has a middle and keeps height and width, got {kernel}"
            )
        self.padding, self.start_gain = kernel // 2, gain
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        bound = 1 / math.sqrt(inputs * kernel * kernel)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.gain = nn.Parameter(self._norm().detach()) if weight_norm else None
        if gain == 0:
            self._zero()

    def _norm(self) -> Tensor:
        return torch.sqrt((self.weight * self.weight).sum((1, 2, 3)))

    @torch.no_grad()
    def _zero(self) -> None:
        nn.init.zeros_(self.weight if self.gain is None else self.gain)
        nn.init.zeros_(self.bias)

    def effective_weight(self) -> Tensor:
        """w after normalisation, (outputs, inputs, kernel, kernel)."""
        return self.weight if self.gain is None else self.weight * (self.gain / self._norm())[:, None, None, None]

    def forward(self, x: Tensor) -> Tensor:
        # Channels last: on two cores convolutions of 32 to 64 filters took half to two thirds of the time that they take channels first.
        x = x.contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, self.effective_weight(), self.bias, padding=self.padding)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set scale and bias so that y has mean 0 and deviation ``gain`` in each channel of this batch, and return y.

        Statistics are taken in float64. Raises InputError where a channel is the same in every place of the batch.
        """
        if self.start_gain == 0:
            self._zero()
            return self(x)
        weight = self.weight if self.gain is None else self.weight / self._norm()[:, None, None, None]
        y = F.conv2d(x, weight, padding=self.padding).double()
        mean, deviation = y.mean((0, 2, 3)), y.std((0, 2, 3), correction=0)
        # A constant channel keeps a deviation of rounding size, which would become a gain of 1e7.
        if not bool((deviation > torch.finfo(x.dtype).eps * mean.abs()).all()):
            raise InputError(
                "x: expected a batch in which every channel of the convolution varies, got a constant one; initialise with more "
                "or other pictures"
            )
        factor = self.start_gain / deviation
        self.bias.copy_(-mean * factor)
        if self.gain is None:
            self.weight.mul_(factor[:, None, None, None])
        else:
            self.gain.copy_(factor)
        return self(x)
