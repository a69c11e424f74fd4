"""A plain convolutional network over pictures, the one that Glow's couplings read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..numerics.networks import convnet
from .conv import Conv2d
from .mlp import check_context, check_context_dim, hooked
from .picture_net import PictureNet


class ConvNet(PictureNet):
    """conv3×3, relu, conv1×1, relu, conv3×3, with ``hidden`` filters between them; a context shifts the first filters.

        h = relu(conv3×3(x) + W c),   h = relu(conv1×1(h)) for every further width,   params = conv3×3(h)

    x (*batch, in_channels, H, W) -> (*batch, channels, H, W, parameters), ``out_shape`` being (channels, parameters of each number). With
    ``hidden=()`` it is one convolution, and a context shifts its outputs. ``gain`` is the deviation at which ``initialise`` starts the
    outputs, see ``Conv2d``; at 0 they are exactly 0. ``bounded`` and ``squash`` are those of ``PictureNet``.

    Raises InputError for widths below 1, ShapeError for a context of another width than ``context_dim``.
    Source: Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039), whose widths are (512, 512). Differs: weight normalisation with its
    data-dependent start in place of an ActNorm behind every convolution, which is the same at the start; contexts.

    >>> import torch
    >>> ConvNet(6, (6, 2), hidden=(16, 16))(torch.zeros(5, 6, 8, 8)).shape
    torch.Size([5, 6, 8, 8, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_shape: Sequence[int],
        *,
        hidden: Sequence[int] = (512, 512),
        context_dim: int = 0,
        weight_norm: bool = True,
        gain: float = 0.0,
        bounded: bool = False,
        squash: bool = False,
    ) -> None:
        super().__init__(out_shape, bounded=bounded, squash=squash)
        if in_channels < 1 or any(width < 1 for width in hidden):
            raise InputError(f"in_channels, hidden: expected at least 1 each, got {in_channels} and {tuple(hidden)}")
        check_context_dim(context_dim)
        widths = [in_channels, *hidden]
        self.hidden = nn.ModuleList(
            Conv2d(before, after, kernel=1 if layer else 3, weight_norm=weight_norm)
            for layer, (before, after) in enumerate(zip(widths, hidden, strict=False))
        )
        self.last = Conv2d(widths[-1], math.prod(self.out_shape), weight_norm=weight_norm, gain=gain)
        self.context_dim = context_dim
        self.context = nn.Linear(context_dim, [*hidden, math.prod(self.out_shape)][0]) if context_dim else None
        if self.context is not None and not hidden:
            # As the convolution that it is added to: outputs of exactly 0 at first.
            nn.init.zeros_(self.context.weight)
            nn.init.zeros_(self.context.bias)

    def _outputs(self, h: Tensor, context: Tensor | None, *, initialise: bool) -> Tensor:
        check_context(context, self.context_dim)
        moved = None if self.context is None or context is None else self.context(context)[..., None, None]
        if moved is None and not initialise and (whole := self._at_once(h)) is not None:
            return whole
        for layer, conv in enumerate(cast("list[Conv2d]", list(self.hidden))):
            h = conv.initialise(h) if initialise else conv(h)
            if moved is not None and not layer:
                h = h + moved
            # In place: a convolution keeps its input for the gradient, not its output.
            h = torch.relu_(h)
        y = self.last.initialise(h) if initialise else self.last(h)
        return y if moved is None or len(self.hidden) else y + moved

    def _at_once(self, h: Tensor) -> Tensor | None:
        """The whole network as one operator of a compiled graph, where it can be."""
        layers = cast("list[Conv2d]", [*self.hidden, self.last])
        # Channels last, as they lie already.
        pictures = h.permute(0, 2, 3, 1)
        if not self.hidden or any(map(hooked, layers)) or not convnet.suits(pictures, [conv.weight for conv in layers]):
            return None
        weights = [conv.effective_weight().permute(0, 2, 3, 1).contiguous() for conv in layers]
        return convnet(pictures.contiguous(), weights, [conv.bias for conv in layers]).permute(0, 3, 1, 2)
