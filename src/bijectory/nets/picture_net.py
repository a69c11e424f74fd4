"""What networks over pictures share: rows laid out for convolutions, and outputs read as parameters of an elementwise map."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .mlp import squashed


def channels_last(x: Tensor) -> Tensor:
    """The same pictures (rows, C, H, W), channel beside channel in memory, as convolutions on every device like them best.

    By permutations and not by memory_format, which torch.func.vmap does not know; nothing is copied where they lie so already.
    """
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class PictureNet(nn.Module, abc.ABC):
    """A network x (*batch, in_channels, H, W) -> parameters (*batch, channels, H, W, parameters), of any height and width.

    ``out_shape`` is (channels, parameters of each number). ``squash`` has the net read 5·tanh(x/5), see ``squashed``. With ``bounded`` the
    last parameter is a log-scale kept in a learned bound,

        s = scale · tanh(a) + shift,   scale = 1 and shift = 0 at first, one of each per channel.

    To write one: fill in ``_outputs``, from rows (rows, in_channels, H, W) to (rows, parameters · channels, H, W), which sets its
    constants from the rows where ``initialise`` asks for it.
    """

    def __init__(self, out_shape: Sequence[int], *, bounded: bool, squash: bool) -> None:
        super().__init__()
        self.out_shape, self.squash = (out_shape[0], out_shape[1]), squash
        self.bound_scale = nn.Parameter(torch.ones(out_shape[0], 1, 1)) if bounded else None
        self.bound_shift = nn.Parameter(torch.zeros(out_shape[0], 1, 1)) if bounded else None

    @abc.abstractmethod
    def _outputs(self, h: Tensor, context: Tensor | None, *, initialise: bool) -> Tensor:
        """What the layers make of rows that are squashed and channels last already; context has one row for each of them, or is None."""

    def _rows(self, x: Tensor) -> Tensor:
        # By its product and not by −1, which an empty batch leaves undetermined.
        return channels_last(squashed(x, self.squash).reshape(math.prod(x.shape[:-3]), *x.shape[-3:]))

    def _as_params(self, y: Tensor, x: Tensor) -> Tensor:
        """(rows, parameters · channels, H, W) -> (*batch, channels, H, W, parameters), in x's dtype."""
        channels, num_params = self.out_shape
        # Back from a network's lower precision before the bound: a log-scale is read in the dtype of the log-det.
        params = y.to(x.dtype).reshape(*x.shape[:-3], num_params, channels, *x.shape[-2:])
        return self._held(params, slice(None)).movedim(-4, -1)

    def _held(self, params: Tensor, channels: slice) -> Tensor:
        """Parameters (*, num_params, channels, H, W) of those channels, the last one in its bound where there is one."""
        if self.bound_scale is None or self.bound_shift is None:
            return params
        others, raw = params.split((self.out_shape[1] - 1, 1), -4)
        held = torch.addcmul(self.bound_shift[channels], self.bound_scale[channels], torch.tanh(raw))
        return torch.cat([others, held], -4)

    def _run(self, x: Tensor, context: Tensor | None, *, initialise: bool) -> Tensor:
        if context is not None:
            context = context.expand(*x.shape[:-3], context.shape[-1]).reshape(-1, context.shape[-1])
        return self._as_params(self._outputs(self._rows(x), context, initialise=initialise), x)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._run(x, context, initialise=False)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Initialise every layer on what those before it make of x (*batch, in_channels, H, W), and return the parameters."""
        return self._run(x, context, initialise=True)
