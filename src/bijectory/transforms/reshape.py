"""Maps that move numbers to other places of an event of another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..errors import ShapeError
from .base import Transform
from .partitions import even_size


class Squeeze(Transform):
    """Each 2×2 block of a picture becomes four channels, (C, H, W) -> (4C, H/2, W/2), for any even height and width; log-det 0.

        z[4c + 2i + j, h, w] = x[c, 2h + i, 2w + j]

    Source: Dinh et al. 2016 (arXiv:1605.08803); the order of channels is CS294-158's and torch's pixel_unshuffle.
    Raises ShapeError for an odd height or width.

    >>> import torch
    >>> Squeeze()(torch.zeros(7, 3, 32, 32)).shape
    torch.Size([7, 12, 16, 16])
    """

    event_dim_in = event_dim_out = 3

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        height, width = even_size(x, "Squeeze")
        blocks = x.unflatten(-1, (width, 2)).unflatten(-3, (height, 2))
        z = blocks.movedim((-3, -1), (-4, -3)).flatten(-5, -3)
        return z, x.new_zeros(x.shape[:-3])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if z.dim() < 3 or z.shape[-3] % 4:
            raise ShapeError(f"z: expected squeezed pictures (*batch, 4C, height, width), got {tuple(z.shape)}")
        blocks = z.unflatten(-3, (z.shape[-3] // 4, 2, 2))
        x = blocks.movedim((-4, -3), (-3, -1)).flatten(-4, -3).flatten(-2)
        return x, z.new_zeros(z.shape[:-3])

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        # Numbers change places, and so do their gradients.
        back = self.forward if inverse else self.inverse
        return back(z), back(at_z)


class Flatten(Transform):
    """An event of shape ``event_shape`` as a vector, (*batch, *event) -> (*batch, features); log-det 0.

    >>> import torch
    >>> Flatten((1, 8, 8))(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 64])
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.event_dim_in = len(self.event_shape)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch = x.shape[: x.dim() - self.event_dim_in]
        # By its product and not by −1, which an empty batch leaves undetermined.
        return x.reshape(*batch, math.prod(self.event_shape)), x.new_zeros(batch)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.unflatten(-1, self.event_shape), z.new_zeros(z.shape[:-1])

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}"
