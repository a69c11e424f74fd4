"""Mixtures of Gaussians or logistics: density and both tails, each in logs."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

Kind = Literal["gaussian", "logistic"]
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def check_kind(kind: str) -> None:
    """Refuse a component family that is not known."""
    if kind not in get_args(Kind):
        raise InputError(f"kind: expected one of {', '.join(get_args(Kind))}, got {kind!r}")


def component_logs(u: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Tensor]:
    """Log density, log CDF and log survival of a standard component at ``u``, any shape.

    The survival is computed from −u and never as 1 − F: for u = 40 the difference is exactly zero even in float64, its log −inf.
    """
    if kind == "gaussian":
        return -0.5 * u * u - _HALF_LOG_2PI, torch.special.log_ndtr(u), torch.special.log_ndtr(-u)
    log_cdf, log_sf = F.logsigmoid(u), F.logsigmoid(-u)
    return log_cdf + log_sf, log_cdf, log_sf


def mixture_logs(
    x: Tensor, logits: Tensor, loc: Tensor, log_scale: Tensor, kind: Kind = "gaussian"
) -> tuple[Tensor, Tensor, Tensor]:
    """Log density, log CDF and log survival of a mixture, tail-safe.

        f(x) = Σ_k w_k f_k((x − loc_k) / s_k) / s_k,   w = softmax(logits),   s = exp(log_scale)

    ``x`` has shape (*batch), the parameters (*batch, K); three tensors of shape (*batch) come back.
    Each tail is a log-sum-exp of the components' own tails, so neither is ever rounded to 0 or 1.
    """
    u = (x.unsqueeze(-1) - loc) * torch.exp(-log_scale)
    log_weight = F.log_softmax(logits, -1)
    log_pdf, log_cdf, log_sf = component_logs(u, kind)
    return (
        torch.logsumexp(log_weight - log_scale + log_pdf, -1),
        torch.logsumexp(log_weight + log_cdf, -1),
        torch.logsumexp(log_weight + log_sf, -1),
    )


def mixture_logit(
    x: Tensor, logits: Tensor, loc: Tensor, log_scale: Tensor, kind: Kind = "gaussian"
) -> tuple[Tensor, Tensor]:
    """The mixture's CDF on the logit scale and the log of its slope.

        z = log F(x) − log(1 − F(x)),   log dz/dx = log f(x) − log F(x) − log(1 − F(x))

    Shapes as in :func:`mixture_logs`. The map is ℝ → ℝ: in (0, 1) itself float32 rounds most far points to exactly 0 or 1.
    """
    log_pdf, log_cdf, log_sf = mixture_logs(x, logits, loc, log_scale, kind)
    return log_cdf - log_sf, log_pdf - log_cdf - log_sf


def mixture_bracket(z: Tensor, loc: Tensor, log_scale: Tensor, kind: Kind = "gaussian") -> tuple[Tensor, Tensor]:
    """Two points between which the mixture's CDF on the logit scale takes the value ``z``.

    A mixture's quantile lies between the smallest and the largest of its components' quantiles. A logistic's is
    loc + s·z. For a Gaussian q(z) ≤ min(z / √(8/π), √(2z)) for z ≥ 0 (the first because logit Φ is convex there with slope
    4φ(0) at 0, the second because 1 − Φ(q) ≤ ½ exp(−q²/2)), and symmetrically below.
    """
    far = z.unsqueeze(-1)
    near = torch.zeros_like(far)
    if kind == "gaussian":
        size = far.abs()
        far = torch.sign(far) * torch.minimum(size / math.sqrt(8 / math.pi), torch.sqrt(2 * size))
        ends = torch.cat([loc + torch.exp(log_scale) * near, loc + torch.exp(log_scale) * far], -1)
    else:
        ends = loc + torch.exp(log_scale) * far
    return ends.amin(-1), ends.amax(-1)
