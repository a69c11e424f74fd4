"""How uniform a latent is: the Kolmogorov–Smirnov distance from the uniform distribution, and how surprising it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


@dataclass(frozen=True)
class Uniformity:
    """The distance between the empirical CDF of ``n`` numbers and the uniform one, and its p-value."""

    distance: float
    p: float
    n: int


def uniformity(u: NDArray[np.floating]) -> Uniformity:
    """Compare numbers u (n,) in [0, 1] with the uniform distribution.

        D = max_i max(i/n − u_(i), u_(i) − (i−1)/n),   p = P(K > (√n + 0.12 + 0.11/√n) · D)

    with K Kolmogorov's distribution. The p-value is within a few per cent for n ≥ 5, and holds for rows that the map was not fitted
    to: on its training rows it comes out too high. Raises InputError where there are no numbers, or one lies outside [0, 1].
    Source: Kolmogorov 1933; the finite-n factor is Stephens 1970.

    >>> uniformity(np.array([0.1, 0.3, 0.5, 0.7, 0.9])).distance
    0.1
    """
    n = len(u)
    ordered = np.sort(np.asarray(u, dtype=np.float64))
    if not n or not (ordered[0] >= 0 and ordered[-1] <= 1):
        raise InputError(f"u: expected at least one number, all in [0, 1], got {n} in [{ordered[:1]}, {ordered[-1:]}]")
    rank = np.arange(1, n + 1) / n
    distance = float(max((rank - ordered).max(), (ordered - rank + 1 / n).max()))
    return Uniformity(round(distance, 12), kolmogorov_tail((math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance), n)


def kolmogorov_tail(x: float) -> float:
    """P(K > x) = 2 Σ_k (−1)^(k−1) exp(−2k²x²), Kolmogorov's distribution.

    >>> round(kolmogorov_tail(1.3581), 4)
    0.05
    """
    if x < 1:
        # The series alternates between terms near 1 as x → 0; its theta-function twin converges there in three terms.
        if x < 0.1:  # 1 − 1e-52, whose terms would underflow
            return 1.0
        terms = sum(math.exp(-(((2 * k - 1) * math.pi) ** 2) / (8 * x * x)) for k in range(1, 5))
        return 1 - math.sqrt(2 * math.pi) / x * terms
    return min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 6)))
