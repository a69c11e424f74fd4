"""Maps that shift and scale each coordinate by constants: given, measured once, or measured and then trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError, ShapeError
from ..numerics.reduce import sum_event
from .base import DataInitialised, Transform


class ConstantAffine(Transform):
    """z = (x − loc) / scale with fixed numbers; log-det −Σ log scale.

    ``loc`` and ``scale`` have the event's shape (*event). Raises InputError where a scale is not positive and finite.

    >>> import torch
    >>> ConstantAffine(torch.tensor([1.0]), torch.tensor([2.0]))(torch.tensor([5.0])).tolist()
    [2.0]
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = loc.dim()
        self.register_buffer("loc", loc.clone())
        self.register_buffer("scale", torch.ones_like(loc))
        self.loc: Tensor
        self.scale: Tensor
        self.set(loc, scale)

    def set(self, loc: Tensor, scale: Tensor) -> None:
        """Replace the constants; shapes as at construction."""
        if loc.shape != self.loc.shape or scale.shape != self.loc.shape:
            expected, got = tuple(self.loc.shape), (tuple(loc.shape), tuple(scale.shape))
            raise ShapeError(f"loc, scale: expected shape {expected}, got {got[0]} and {got[1]}")
        bad = ~((scale > 0) & torch.isfinite(scale) & torch.isfinite(loc))
        if bool(bad.any()):
            where = tuple(bad.nonzero()[0].tolist())
            raise InputError(
                f"scale: expected finite positive numbers, got loc {loc[where].item():.6g} and scale {scale[where].item():.6g} "
                f"at position {where}; a constant column has scale 0 and no density: leave it out"
            )
        with torch.no_grad():
            self.loc.copy_(loc)
            self.scale.copy_(scale)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = -torch.log(self.scale).sum()
        return (x - self.loc) / self.scale, log_det.expand(x.shape[: x.dim() - self.event_dim_in])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = torch.log(self.scale).sum()
        return torch.addcmul(self.loc, z, self.scale), log_det.expand(z.shape[: z.dim() - self.event_dim_in])


class Standardise(Transform, DataInitialised):
    """z = (x − mean) / deviation of the training data, constant from then on; the identity until initialised.

    The change of variables is part of the density: log-det −Σ log deviation, so nats stay in the data's own units.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = len(event_shape)
        self.affine = ConstantAffine(torch.zeros(tuple(event_shape)), torch.ones(tuple(event_shape)))

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.affine.forward_and_log_det(x)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.affine.inverse_and_log_det(z)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set mean and deviation (with divisor n) from x of shape (batch, *event), computed in float64."""
        wide = x.double()
        deviation = wide.std(0, correction=0).to(x.dtype)
        # A column of equal values keeps a deviation of rounding size in floating point: 0.1 repeated gives 1e-17.
        constant = x.amax(0) == x.amin(0)
        self.affine.set(wide.mean(0).to(x.dtype), torch.where(constant, torch.zeros_like(deviation), deviation))


class ActNorm(Transform, DataInitialised):
    """z = (x + shift) · exp(log_scale), trained, starting from mean 0 and deviation 1 on one batch.

        log-det = Σ log_scale

    Source: Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039). Differs: initialised by an explicit pass, never by the first forward.
    ``shape`` is the shape of the constants, which broadcasts against the event; the log-det counts every number of the event.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = len(event_shape)
        self.shift = nn.Parameter(torch.zeros(tuple(event_shape)))
        self.log_scale = nn.Parameter(torch.zeros(tuple(event_shape)))

    def _log_det(self, x: Tensor) -> Tensor:
        return sum_event(self.log_scale, self.event_dim_in).expand(x.shape[: x.dim() - self.event_dim_in])

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x + self.shift) * torch.exp(self.log_scale), self._log_det(x)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(-self.log_scale) - self.shift, -self._log_det(z)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set shift and scale so that x, of shape (batch, *event), comes out with mean 0 and deviation 1."""
        deviation = x.std(0, correction=0)
        if bool((deviation <= 0).any()):
            raise InputError(
                "x: expected a batch that varies in every coordinate, got a constant one; ActNorm divides by its deviation"
            )
        with torch.no_grad():
            self.shift.copy_(-x.mean(0))
            self.log_scale.copy_(-torch.log(deviation))


class DiagonalScale(Transform):
    """z = x · exp(log_scale), trained; log-det Σ log_scale. The one place where NICE changes volume (arXiv:1410.8516)."""

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = len(event_shape)
        self.log_scale = nn.Parameter(torch.zeros(tuple(event_shape)))

    def _log_det(self, x: Tensor) -> Tensor:
        return sum_event(self.log_scale, self.event_dim_in).expand(x.shape[: x.dim() - self.event_dim_in])

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x * torch.exp(self.log_scale), self._log_det(x)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(-self.log_scale), -self._log_det(z)
