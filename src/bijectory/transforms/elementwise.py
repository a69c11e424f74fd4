"""Maps of single numbers: parameterised ones for couplings and autoregression, and constant ones that change the support."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DomainError, InputError
from ..numerics.reduce import sum_event
from ..numerics.tracing import traced
from .base import Inverse, Transform
from .reversible import at_leaf, backward

#: From the gradients of z and of log dz/dx to those of x and of the parameters.
PointPull = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_tanh_backward = torch.ops.aten.tanh_backward.default


class Elementwise(abc.ABC):
    """An increasing map of single numbers whose parameters come from outside.

    Stateless. ``x`` has shape (*,), ``params`` (*, num_params); value and log derivative come back with shape (*,).
    One of these serves a coupling, an autoregression and a posterior alike, without knowing which.
    """

    num_params: int
    #: As of a ``Transform``; ``rebuilds_x`` is False where the inverse is found step by step.
    rebuilds_x: bool = True
    rebuilds_z: bool = True

    @abc.abstractmethod
    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dx."""

    @abc.abstractmethod
    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """x and log dx/dz."""

    @abc.abstractmethod
    def identity_params(self) -> Tensor | None:
        """Parameters (num_params,) at which the map is the identity, or None where there are none."""

    def pull_back(
        self, z: Tensor, params: Tensor, at_z: Tensor, at_log_slope: Tensor, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From z, the parameters and the gradients of z and log dz/dx to x and the gradients of x and of the parameters.

        Called where no gradient is recorded; ``at_log_slope`` broadcasts. With ``inverse`` x and z change places.
        """
        there, back = (self.inverse, self.forward) if inverse else (self.forward, self.inverse)
        x, params = back(z, params)[0].detach().requires_grad_(), params.detach().requires_grad_()
        with torch.enable_grad():
            outputs = there(x, params)
        backward(outputs, (at_z, at_log_slope.expand_as(z)))
        return x.detach(), at_leaf(x), at_leaf(params)

    def by_hand(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, PointPull]] | None:
        """``forward`` that gives, beside its two values, their gradient written by hand; None where nobody wrote it."""
        return None


class Shift(Elementwise):
    """z = x + t (Dinh, Krueger & Bengio 2014, NICE, arXiv:1410.8516); log dz/dx = 0."""

    num_params = 1

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        z = x + params.squeeze(-1)
        return z, torch.zeros_like(z)

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        x = z - params.squeeze(-1)
        return x, torch.zeros_like(x)

    def identity_params(self) -> Tensor:
        return torch.zeros(1)


class Affine(Elementwise):
    """z = x · exp(s) + t with a log-scale that is bounded on both sides (Dinh et al. 2016, RealNVP, arXiv:1605.08803).

        s = scale · tanh(a / scale),   params = (t, a),   log dz/dx = s

    Zero parameters are the identity, and near them s ≈ a. Differs: RealNVP's homework form is scale · tanh(a) + shift with both
    learned; here the bound is a constant, so that no weights can overflow exp.

    Raises InputError where ``scale`` is not positive and finite.
    """

    num_params = 2

    def __init__(self, scale: float = 3.0) -> None:
        if not 0 < scale < math.inf:
            raise InputError(f"scale: expected a positive, finite bound on the log-scale, got {scale}")
        self.scale = scale

    def _log_scale(self, raw: Tensor) -> Tensor:
        return torch.tanh(raw / self.scale) * self.scale

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(-1)
        log_scale = self._log_scale(raw)
        return torch.addcmul(shift, x, torch.exp(log_scale)), log_scale

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(-1)
        log_scale = self._log_scale(raw)
        return (z - shift) * torch.exp(-log_scale), -log_scale

    def identity_params(self) -> Tensor:
        return torch.zeros(2)

    def pull_back(
        self, z: Tensor, params: Tensor, at_z: Tensor, at_log_slope: Tensor, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        if inverse or type(self) is not Affine:
            return super().pull_back(z, params, at_z, at_log_slope, inverse=inverse)
        # Both ways with one tanh and one exp, half the passes over the numbers.
        shift, raw = params.unbind(-1)
        bent = torch.tanh(raw / self.scale)
        slope = torch.exp(bent * self.scale)
        x, at_x = (z - shift) / slope, at_z * slope
        at_raw = _tanh_backward(torch.addcmul(at_log_slope, at_x, x), bent)
        return x, at_x, torch.stack((at_z, at_raw), -1)

    def by_hand(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, PointPull]] | None:
        return self._run if type(self) is Affine else None

    def _run(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor, PointPull]:
        shift, raw = params.unbind(-1)
        bent = torch.tanh(raw / self.scale)
        log_scale = bent * self.scale
        slope = torch.exp(log_scale)

        def pull(at_z: Tensor, at_log_slope: Tensor) -> tuple[Tensor, Tensor]:
            at_x = at_z * slope
            at_raw = _tanh_backward(torch.addcmul(at_log_slope, at_x, x), bent)
            return at_x, torch.stack((at_z, at_raw), -1)

        return torch.addcmul(shift, x, slope), log_scale, pull


class ShiftFirst(Elementwise):
    """z = (x + t) · exp(s), params = (t, s), log dz/dx = s: the coupling of CS294-158's RealNVP, which shifts before it scales.

    Takes s as it comes. Its bound lives in the network, as ``ResNet(…, bounded=True)``, whose s = scale · tanh(a) + shift with both
    learned per channel, is part of both directions alike; with a network that bounds nothing, exp(s) overflows at s = 89.
    Zero parameters are the identity.
    """

    num_params = 2

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = params.unbind(-1)
        return (x + shift) * torch.exp(log_scale), log_scale

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = params.unbind(-1)
        return z * torch.exp(-log_scale) - shift, -log_scale

    def identity_params(self) -> Tensor:
        return torch.zeros(2)


class SigmoidAffine(Elementwise):
    """z = x · s + t with Glow's scale, kept above a floor (Kingma & Dhariwal 2018, arXiv:1807.03039).

        s = floor + (1 − floor) · σ(a + 2),   params = (t, a),   log dz/dx = log s

    Differs: Glow has no floor; without one a = −104 gives s = 0 in float32, and the inverse divides by it.
    The scale never exceeds 1, so no parameters are the identity.
    """

    num_params = 2

    def __init__(self, floor: float = 1e-2) -> None:
        if not 0 < floor < 1:
            raise InputError(f"floor: expected a scale between 0 and 1, got {floor}")
        self.floor = floor

    def _scale(self, raw: Tensor) -> Tensor:
        return self.floor + (1 - self.floor) * torch.sigmoid(raw + 2)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(-1)
        scale = self._scale(raw)
        return torch.addcmul(shift, x, scale), torch.log(scale)

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(-1)
        scale = self._scale(raw)
        return (z - shift) / scale, -torch.log(scale)

    def identity_params(self) -> None:
        return None


class _Pointwise(Transform):
    """One function applied to every number of an event; the log-det is the sum of log derivatives."""

    # Near an edge of the support they keep few digits, or none: σ(18) is 1 in float32 and has no way back.
    rebuilds_x = rebuilds_z = False

    def __init__(self, event_dim: int = 1) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = event_dim

    @abc.abstractmethod
    def _value_and_log_slope(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    @abc.abstractmethod
    def _invert(self, z: Tensor) -> Tensor: ...

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self._value_and_log_slope(x)
        return z, sum_event(log_slope, self.event_dim_in)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self._invert(z)
        return x, -sum_event(self._value_and_log_slope(x)[1], self.event_dim_in)


def _require(inside: Tensor, values: Tensor, name: str, expected: str) -> None:
    # Where nothing can be looked at, logarithms of what lies outside are NaN by themselves.
    if not traced() and not bool(inside.all()):
        raise DomainError(
            f"{name}: expected values {expected}, got {values[~inside].flatten()[0].item():.6g}; "
            "values that round to the edge of the support have no finite preimage: use float64, or leave them out"
        )


class Exp(_Pointwise):
    """z = exp(x), log dz/dx = x; its Inverse takes positive data to the line."""

    def _value_and_log_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp(x), x

    def _invert(self, z: Tensor) -> Tensor:
        _require((z > 0) & torch.isfinite(z), z, "z", "above 0 and finite")
        return torch.log(z)


class Softplus(_Pointwise):
    """z = log(1 + exp(x)), log dz/dx = log σ(x); positive like Exp, but linear for large values."""

    def _value_and_log_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # threshold: torch's softplus switches to z = x above 20, where float64 still resolves exp(−20) = 2e-9
        return F.softplus(x, threshold=50.0), F.logsigmoid(x)

    def _invert(self, z: Tensor) -> Tensor:
        _require((z > 0) & torch.isfinite(z), z, "z", "above 0 and finite")
        return z + torch.log(-torch.expm1(-z))


class Sigmoid(_Pointwise):
    """z = σ(x), log dz/dx = log σ(x) + log σ(−x); Inverse(Sigmoid()) is the logit.

    In float32 x > 17 already rounds to z = 1, which has no finite preimage and is refused: keep latents on the logit scale, and
    use this map for data in (0, 1) only.
    """

    def _value_and_log_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(x), F.logsigmoid(x) + F.logsigmoid(-x)

    def _invert(self, z: Tensor) -> Tensor:
        _require((z > 0) & (z < 1), z, "z", "inside (0, 1)")
        return torch.log(z) - torch.log1p(-z)


def logit(event_dim: int = 1) -> Transform:
    """The map from (0, 1) to the line: z = log x − log(1 − x)."""
    return Inverse(Sigmoid(event_dim))
