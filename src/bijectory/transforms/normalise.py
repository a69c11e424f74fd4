"""Maps that shift and scale each coordinate by constants: given, measured once, or measured and then trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError, ShapeError
from .base import DataInitialised, Transform
from .by_hand import ByHand, Pull


def _total(log_scale: Tensor, x: Tensor) -> Tensor:
    """Σ log_scale over every number of x's events, (*batch): a constant that broadcasts counts once for each number it scales."""
    border = x.dim() - log_scale.dim()
    total = log_scale.sum()
    repeats = math.prod(x.shape[border:]) // log_scale.numel()
    return (total if repeats == 1 else total * repeats).expand(x.shape[:border])


def _shared(x: Tensor, shape: tuple[int, ...]) -> list[int]:
    """The dimensions of x (batch, *event) over which constants of that shape are the same: the batch, and those they broadcast along."""
    return [0, *(i for i, size in enumerate(shape, start=1) if size == 1 and x.shape[i] != 1)]


class ConstantAffine(Transform):
    """z = (x − loc) / scale with fixed numbers; log-det −Σ log scale.

    ``loc`` and ``scale`` have the event's shape (*event), or one that broadcasts to it, (C, 1, 1) for one number a channel.
    Raises InputError where a scale is not positive and finite.

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
        return (x - self.loc) / self.scale, _total(-torch.log(self.scale), x)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.addcmul(self.loc, z, self.scale), _total(torch.log(self.scale), z)


class Standardise(Transform, DataInitialised):
    """z = (x − mean) / deviation of the training data, constant from then on; the identity until initialised.

    The change of variables is part of the density: log-det −Σ log deviation, so nats stay in the data's own units.
    ``event_shape`` may broadcast to the event, (C, 1, 1) for one mean and deviation a channel.
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
        wide, dims = x.double(), _shared(x, self.affine.loc.shape)
        mean, deviation = (
            v[0].to(x.dtype) for v in (wide.mean(dims, True), wide.std(dims, correction=0, keepdim=True))
        )
        # A column of equal values keeps a deviation of rounding size in floating point: 0.1 repeated gives 1e-17.
        constant = (x.amax(dims, True) == x.amin(dims, True))[0]
        self.affine.set(mean, torch.where(constant, torch.zeros_like(deviation), deviation))


class ActNorm(Transform, DataInitialised):
    """z = (x + shift) · exp(log_scale), trained, starting from mean 0 and deviation 1 on one batch.

        log-det = Σ log_scale

    Source: Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039). Differs: initialised by an explicit pass, never by the first forward.
    ``event_shape`` is the shape of the constants, which may broadcast to the event, (C, 1, 1) for one pair a channel of a picture; the
    log-det counts every number of the event, and means are taken over batch and space.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = len(event_shape)
        self.shift = nn.Parameter(torch.zeros(tuple(event_shape)))
        self.log_scale = nn.Parameter(torch.zeros(tuple(event_shape)))

    def _log_det(self, x: Tensor) -> Tensor:
        return _total(self.log_scale, x)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x + self.shift) * torch.exp(self.log_scale), self._log_det(x)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(-self.log_scale) - self.shift, -self._log_det(z)

    def by_hand(self) -> ByHand | None:
        """For vectors with a pair of constants for each coordinate."""
        if type(self) is not ActNorm or self.event_dim_in != 1 or self.shift.numel() == 1:
            return None
        return (self.shift, self.log_scale), self._run

    def _run(self, x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor, Pull]:
        shift, log_scale = weights
        shifted, scale = x + shift, torch.exp(log_scale)

        def pull(at_z: Tensor, at_log_det: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
            at_x = at_z * scale
            return at_x, (at_x.sum(0), (at_x * shifted).sum(0) + at_log_det.sum())

        return shifted * scale, log_scale.sum().expand(x.shape[:1]), pull

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set shift and scale so that x, of shape (batch, *event), comes out with mean 0 and deviation 1."""
        dims = _shared(x, self.shift.shape)
        deviation = x.std(dims, correction=0, keepdim=True)[0]
        if not bool(torch.isfinite(deviation).all()):
            raise InputError(
                "x: expected a batch of finite numbers, got NaN or infinity; every later answer would be NaN"
            )
        if bool((deviation <= 0).any()):
            raise InputError(
                "x: expected a batch that varies in every coordinate, got a constant one; ActNorm divides by its deviation"
            )
        with torch.no_grad():
            self.shift.copy_(-x.mean(dims, True)[0])
            self.log_scale.copy_(-torch.log(deviation))


class DiagonalScale(Transform):
    """z = x · exp(log_scale), trained; log-det Σ log_scale. The one place where NICE changes volume (arXiv:1410.8516)."""

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = len(event_shape)
        self.log_scale = nn.Parameter(torch.zeros(tuple(event_shape)))

    def _log_det(self, x: Tensor) -> Tensor:
        return _total(self.log_scale, x)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x * torch.exp(self.log_scale), self._log_det(x)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(-self.log_scale), -self._log_det(z)
