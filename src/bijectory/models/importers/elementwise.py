"""Elementwise maps in the parametrisations of other libraries, for weights that ours could not carry."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...numerics.spline import rational_quadratic
from ...transforms.elementwise import Elementwise

ScaleName = Literal["softclip", "softplus", "sigmoid"]


def _softclip(raw: Tensor, bound: float) -> Tensor:
    """A number kept inside ±bound: a / (1 + |a|/bound)."""
    return raw / (1 + raw.abs() / bound)


_LOG_SCALES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "softclip": lambda raw, floor: _softclip(raw, -math.log(floor)),
    "softplus": lambda raw, floor: torch.log(F.softplus(raw) + floor),
    "sigmoid": lambda raw, floor: torch.log(torch.sigmoid(raw + 2) + floor),
}


class PeerAffine(Elementwise):
    """z = x · s(a) + t with another library's scale, params = (t, a), log dz/dx = log s.

    softclip   s = exp(a / (1 + |a / log floor|))   zuko
    softplus   s = log(1 + e^a) + floor             nflows' autoregressive map
    sigmoid    s = σ(a + 2) + floor                 nflows' coupling, normflows
    """

    num_params = 2

    def __init__(self, scale: ScaleName, floor: float = 1e-3) -> None:
        if scale not in _LOG_SCALES or not 0 < floor < 1:
            raise InputError(
                f"scale, floor: expected one of {', '.join(_LOG_SCALES)} and a number in (0, 1), got {scale!r} and {floor}"
            )
        self.scale, self.floor = scale, floor

    def _log_scale(self, raw: Tensor) -> Tensor:
        return _LOG_SCALES[self.scale](raw, self.floor)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(-1)
        log_scale = self._log_scale(raw)
        return torch.addcmul(shift, x, torch.exp(log_scale)), log_scale

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(-1)
        log_scale = self._log_scale(raw)
        return (z - shift) * torch.exp(-log_scale), -log_scale

    def identity_params(self) -> Tensor | None:
        return torch.zeros(2) if self.scale == "softclip" else None


class ZukoSpline(Elementwise):
    """The rational-quadratic spline between zuko's knots: softmax of clipped widths and heights, exp of clipped slopes.

    With c(a) = a / (1 + |a / log slope|) the slopes are exp(c(a)), between ``slope`` and 1/``slope``, and the widths and heights
    2 · bound · softmax of numbers clipped at half of that. Zero parameters are the identity.
    """

    def __init__(self, bins: int, bound: float = 5.0, slope: float = 1e-3) -> None:
        if bins < 2 or not bound > 0 or not 0 < slope < 1:
            raise InputError(
                f"bins, bound, slope: expected at least 2, above 0 and in (0, 1), got {bins}, {bound} and {slope}"
            )
        self.bins, self.bound, self.limit = bins, bound, -math.log(slope)
        self.num_params = 3 * bins - 1

    def _edges(self, raw: Tensor) -> Tensor:
        inner = (
            torch.cumsum(F.softmax(_softclip(raw, self.limit / 2), -1)[..., :-1], -1) * (2 * self.bound) - self.bound
        )
        return F.pad(F.pad(inner, (1, 0), value=-self.bound), (0, 1), value=self.bound)

    def _knots(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        widths, heights, slopes = params.split([self.bins, self.bins, self.bins - 1], -1)
        inner = torch.exp(_softclip(slopes, self.limit))
        return self._edges(widths), self._edges(heights), F.pad(inner, (1, 1), value=1.0)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(x, *self._knots(params))

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(z, *self._knots(params), inverse=True)

    def identity_params(self) -> Tensor:
        return torch.zeros(self.num_params)
