"""Student's t: the CDF that torch lacks, for any number of degrees of freedom."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TERMS = 200


def log_gamma_half_step(a: float) -> float:
    """log Γ(a + ½) − log Γ(a), for a > 0.

    From a = 100 on by its expansion, the next term of which is below 2e-13: there the two logarithms grow like a log a, and their
    difference lost all digits but 6 at a = 5e8.
    """
    if a < 100:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return 0.5 * math.log(a) - 1 / (8 * a) + 1 / (192 * a**3)


def student_t_cdf(t: Tensor, df: float) -> Tensor:
    """F(t) of Student's t with ``df`` > 0 degrees of freedom, elementwise; in the lower tail as exact as the dtype.

        F(−|t|) = ½ I_x(ν/2, ½),   x = ν / (ν + t²),   F(|t|) = 1 − F(−|t|)

    I is the regularised incomplete beta function, as the continued fraction of DLMF 8.17.22, on the side where it converges fast.
    """
    a, square = 0.5 * df, t * t
    far, near = df / (df + square), 1 / (1 + df / square)  # square / (df + square), where square overflows too
    # The fraction for I_x(a, b) converges fast where x < (a + 1) / (a + b + 2); beyond, I_x(a, b) = 1 − I_{1−x}(b, a).
    quick = far < (a + 1) / (a + 2.5)
    log_front = log_gamma_half_step(a) - 0.5 * math.log(math.pi)
    front = torch.exp(log_front - a * torch.log1p(square / df)) * torch.sqrt(near)
    tail = front * _fraction(torch.where(quick, far, 0.5), a, 0.5) / a
    middle = front * _fraction(torch.where(quick, 0.5, near), 0.5, a) / 0.5
    lower = 0.5 * torch.where(quick, tail, 1 - middle)
    return torch.where(t <= 0, lower, 1 - lower)


def _fraction(x: Tensor, a: float, b: float) -> Tensor:
    """1/(1 + d_1/(1 + d_2/(1 + …))), from its last term to its first."""
    value = torch.ones_like(x)
    for m in range(_TERMS // 2, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        value = 1 + odd / (1 + even / value)
    return 1 / value
