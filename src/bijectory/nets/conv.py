"""Convolutions, plain or weight-normalised, that can set their own scale from a batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, ShapeError
from .picture_net import channels_last


class Conv2d(nn.Module):
    """y = w ∗ x + b, same height and width, with w = g · v/|v| in each output channel where ``weight_norm`` is on.

    ``initialise`` sets g and b from a batch so that every channel of y has mean 0 and deviation ``gain`` over batch and space; before
    that, weights are uniform in ±1/√(fan in). With ``gain=0`` the outputs are exactly 0 from the start. ``mask`` (outputs, inputs) says
    which inputs an output reads, at all places of the kernel alike; what reads none is its bias alone, which starts at 0.

    x (rows, inputs, H, W) -> y (rows, outputs, H, W). Raises ShapeError for a kernel without a middle.
    Source: Salimans & Kingma 2016 (weight normalisation and its data-dependent start, arXiv:1602.07868).

    >>> import torch
    >>> y = Conv2d(3, 8).initialise(5 + torch.randn(16, 3, 4, 4))
    >>> y.shape, bool(y.mean((0, 2, 3)).abs().max() < 1e-3), bool((y.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-3)
    (torch.Size([16, 8, 4, 4]), True, True)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        weight_norm: bool = True,
        gain: float = 1.0,
        mask: Tensor | None = None,
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
        # Not part of the state: a mask follows from the architecture, and a saved one could contradict it.
        self.register_buffer(
            "mask", None if mask is None else mask[:, :, None, None].to(self.weight.dtype), persistent=False
        )
        self.mask: Tensor | None
        self.gain = nn.Parameter(self._norm().detach()) if weight_norm else None
        if gain == 0:
            self._zero()

    def _open(self) -> Tensor:
        """The weights that the mask leaves."""
        return self.weight if self.mask is None else self.weight * self.mask

    def _norm(self) -> Tensor:
        weight = self._open()
        squared = (weight * weight).sum((1, 2, 3))
        # An output that reads nothing has norm 0 and no direction: 0/0 would be NaN for the first plane of an autoregression.
        return torch.sqrt(squared if self.mask is None else torch.where(squared > 0, squared, torch.ones_like(squared)))

    @torch.no_grad()
    def _zero(self) -> None:
        nn.init.zeros_(self.weight if self.gain is None else self.gain)
        nn.init.zeros_(self.bias)

    def effective_weight(self) -> Tensor:
        """w after mask and normalisation, (outputs, inputs, kernel, kernel)."""
        if self.gain is None:
            return self._open()
        gain = self.gain[:, None, None, None]
        if self.mask is None:
            # One operation each way in place of six and a dozen: 72 convolutions of a Glow spent a tenth of a small step on them.
            return torch._weight_norm(self.weight, gain, 0)
        return self._open() * (gain / self._norm()[:, None, None, None])

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep w as it is now, mask and normalisation in it, laid out as convolutions read it, see ``frozen``."""
        weight = self.effective_weight().clone(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.mask = self.gain = None

    def forward(self, x: Tensor) -> Tensor:
        # Channels last: on two cores convolutions of 32 to 64 filters took half to two thirds of the time that they take channels first.
        x, weight = channels_last(x), self.effective_weight()
        if torch.compiler.is_compiling():
            # Then the sum over places that is the bias's gradient shares a loop with the activation's, and is no pass of its own. In the
            # convolution's dtype, as it has it itself: under autocast a wide bias would make all that follows wide.
            y = F.conv2d(x, weight, padding=self.padding)
            return y + self.bias.to(y.dtype)[:, None, None]
        return F.conv2d(x, weight, self.bias, padding=self.padding)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set scale and bias so that y has mean 0 and deviation ``gain`` in each channel of this batch, and return y.

        Statistics are taken in float64. Raises InputError where a channel is the same in every place of the batch.
        """
        if self.start_gain == 0:
            self._zero()
            return self(x)
        weight = self._open() if self.gain is None else self._open() / self._norm()[:, None, None, None]
        y = F.conv2d(x, weight, padding=self.padding).double()
        mean, deviation = y.mean((0, 2, 3)), y.std((0, 2, 3), correction=0)
        varies = deviation > torch.finfo(x.dtype).eps * mean.abs()
        if self.mask is not None:
            reads = self.mask.any(1).flatten()
            deviation, varies = torch.where(reads, deviation, torch.ones_like(deviation)), varies | ~reads
        # A constant channel keeps a deviation of rounding size, which would become a gain of 1e7.
        if not bool(varies.all()):
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
