"""Mixtures of logistics, and of wrapped Cauchys on a circle: density at a point and probability of a cell, in logs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def logistic_cell(low: Tensor, high: Tensor, width: Tensor, logits: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """Log probability that a mixture of logistics gives to [low, high], tail-safe and without cancellation.

        P = Σ_k w_k (σ(b_k) − σ(a_k)),   a_k = (low − loc_k)/s_k,   b_k = (high − loc_k)/s_k
        log(σ(b) − σ(a)) = log σ(b) + log σ(−a) + log(1 − e^{−width/s})

    ``low``, ``high`` and ``width`` = high − low have shape (*batch), the parameters (*batch, K). The width is an argument of its own since
    far from 0 the two ends have rounded it away: 0 in float32 at 1,000 deviations for a cell of 1e-5. The difference of two sigmoids itself
    is 0 in float32 for every cell 17 scales out, and for every cell narrower than a ten-millionth of the scale.

    Source: the discretised logistic mixture of PixelCNN++ (Salimans et al. 2017, arXiv:1701.05517). Differs: exact everywhere, where
    theirs turns to the density times the width in narrow cells.
    """
    inverse = torch.exp(-log_scale)
    a, b = (low.unsqueeze(-1) - loc) * inverse, (high.unsqueeze(-1) - loc) * inverse
    log_mass = F.logsigmoid(b) + F.logsigmoid(-a) + _log1mexp(width.unsqueeze(-1) * inverse)
    return torch.logsumexp(F.log_softmax(logits, -1) + log_mass, -1)


def _log1mexp(d: Tensor) -> Tensor:
    """log(1 − e^{−d}) for d > 0, by whichever of two forms keeps its digits (Mächler 2012)."""
    near = d < 0.7
    # Each branch sees only arguments of its own: the gradient of the other's infinity would be NaN times zero.
    small = torch.log(-torch.expm1(-torch.where(near, d, torch.ones_like(d))))
    large = torch.log1p(-torch.exp(-torch.where(near, torch.ones_like(d), d)))
    return torch.where(near, small, large)


def cauchy_density(angle: Tensor, logits: Tensor, loc: Tensor, raw: Tensor) -> Tensor:
    """Log density of a mixture of wrapped Cauchys at ``angle`` (*batch), per radian; parameters (*batch, K).

        f(θ) = Σ_k w_k (1/2π) (1 − ρ²) / (1 + ρ² − 2ρ cos(θ − loc_k)) = Σ_k w_k (1/2π) κ / (cos²(φ/2) + κ² sin²(φ/2))

    with κ = (1 + ρ)/(1 − ρ) = exp(raw), which is 1 for the flat density. Source: Mardia & Jupp 2000, Directional Statistics, 3.5.7.
    """
    half = (angle.unsqueeze(-1) - loc) / 2
    spread = torch.cos(half) ** 2 + torch.exp(2 * raw) * torch.sin(half) ** 2
    return torch.logsumexp(F.log_softmax(logits, -1) + raw - torch.log(spread), -1) - math.log(2 * math.pi)


def cauchy_mass(low: Tensor, high: Tensor, loc: Tensor, raw: Tensor) -> Tensor:
    """Probability that each wrapped Cauchy gives to the arc from ``low`` to ``high``, at most a turn long: (*batch) -> (*batch, K).

        P = (1/π) atan2(κ sin(δ/2), cos(a/2) cos(b/2) + κ² sin(a/2) sin(b/2)),   δ = high − low

    with a and b the ends less ``loc``. One atan2 of the difference, not a difference of two, which would keep no digits of a narrow arc.
    """
    kappa = torch.exp(raw)
    a, b = (low.unsqueeze(-1) - loc) / 2, (high.unsqueeze(-1) - loc) / 2
    # A whole turn's sine is 0, rounded to either side of it.
    sine = (kappa * torch.sin((high - low).unsqueeze(-1) / 2)).abs()
    return torch.atan2(sine, torch.cos(a) * torch.cos(b) + kappa**2 * torch.sin(a) * torch.sin(b)) / math.pi


def cauchy_cell(low: Tensor, high: Tensor, logits: Tensor, loc: Tensor, raw: Tensor) -> Tensor:
    """Log probability that a mixture of wrapped Cauchys gives to an arc that is not empty; shapes as in :func:`cauchy_density`."""
    return torch.logsumexp(F.log_softmax(logits, -1) + torch.log(cauchy_mass(low, high, loc, raw)), -1)
