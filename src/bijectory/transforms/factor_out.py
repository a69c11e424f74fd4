"""Multi-scale structure: a part of a picture that is latent already, while the rest goes on."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ShapeError
from .base import DataInitialised, Transform
from .partitions import PicturePartition


class FactorOut(Transform, DataInitialised):
    """The part of a picture that stays is a latent from here on; the part that moves goes on through ``transform``.

        z = merge(x_A, f(x_B)),   log|det ∂z/∂x| = log|det ∂f/∂x_B|

    All latents keep their places in a picture of the same shape, so that none can be dropped or drawn anew: reconstruction is exact, and
    the base stays flat. The conditional density of the part that is factored out is a ``Coupling`` in front, which moves x_A by what
    it reads of x_B. ``transform`` takes pictures of x_B's shape to pictures of that shape.

    x (*batch, C, H, W) -> z of the same shape. Raises ShapeError for a transform of other events than pictures, or one that changes
    their shape. Source: Dinh et al. 2016 (RealNVP, arXiv:1605.08803), section 3.6; Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039).

    >>> import torch
    >>> from bijectory import ActNorm, ChannelHalves
    >>> FactorOut(ChannelHalves(4), ActNorm((2, 1, 1)))(torch.zeros(7, 4, 8, 8)).shape
    torch.Size([7, 4, 8, 8])
    """

    event_dim_in = event_dim_out = 3

    def __init__(self, partition: PicturePartition, transform: Transform) -> None:
        super().__init__()
        if (transform.event_dim_in, transform.event_dim_out) != (3, 3):
            raise ShapeError(
                f"transform: expected one of pictures, 3 event dimensions in and out, got {type(transform).__name__} with "
                f"{transform.event_dim_in} and {transform.event_dim_out}"
            )
        self.partition, self.transform = partition, transform
        self.has_inverse, self.exact_log_det = transform.has_inverse, transform.exact_log_det
        self.accuracy = transform.accuracy
        self.rebuilds_x, self.rebuilds_z = transform.rebuilds_x, transform.rebuilds_z

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        staying, moving = self.partition.split(x)
        moved, log_det = self.transform.forward_and_log_det(moving, context)
        return self.partition.merge(staying, _same(moved, moving)), log_det

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        staying, moved = self.partition.split(z)
        moving, log_det = self.transform.inverse_and_log_det(moved, context)
        return self.partition.merge(staying, _same(moving, moved)), log_det

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        staying, moved = self.partition.split(z)
        at_staying, at_moved = self.partition.split(at_z)
        moving, at_moving = self.transform.pull_back(moved, at_moved, at_log_det, context, inverse=inverse)
        return self.partition.merge(staying, moving), self.partition.merge(at_staying, at_moving)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the transform set its constants from the part of x, of shape (batch, *event), that goes on."""
        if isinstance(self.transform, DataInitialised):
            with torch.no_grad():
                self.transform.initialise(self.partition.split(x)[1], context)


def _same(after: Tensor, before: Tensor) -> Tensor:
    if after.shape != before.shape:
        raise ShapeError(
            f"transform: expected pictures {tuple(before.shape[-3:])} again, got {tuple(after.shape[-3:])}; undo its squeezes at its "
            "end with Inverse(Squeeze())"
        )
    return after
