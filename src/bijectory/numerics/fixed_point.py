"""Fixed points of contractions, to a stated tolerance or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InverseError
from .residuals import Solved, listening, report


def fixed_point(
    step: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    lipschitz: float,
    what: str,
    tolerance: float | None = None,
) -> Tensor:
    """Solve x = step(x) for a contraction of the rows of x, (*batch, features), by x ← step(x); no gradient flows.

        |step(x) − x| ≤ tolerance · max(1, |row|),   so |x − x*| ≤ tolerance · max(1, |row|) / (1 − lipschitz)

    ``lipschitz`` < 1 is the contraction's constant in the Euclidean norm, ``tolerance`` 16 roundings of the dtype where it is None (1.9e-6
    in float32). From any start a contraction needs at most log tolerance / log lipschitz steps for each factor of 1/tolerance, so the
    cap on iterations follows from it. What is left is reported to a block of ``bijectory.residuals``, under the name ``what``.

    Raises InverseError where the tolerance is not met: ``step`` is then no contraction, or not finite, or rounds more than that.
    """
    limit = 16 * torch.finfo(start.dtype).eps if tolerance is None else tolerance
    # Three times what brings a start that is wrong by 1 down to the tolerance: a start may be wrong by 1/tolerance², no more.
    most = 32 + math.ceil(3 * math.log(limit) / math.log(lipschitz))
    with torch.no_grad():
        x = start
        if x.numel() == 0:
            return x
        for count in range(1, most + 1):
            following = step(x)
            left = (following - x).abs().amax(-1) / following.abs().amax(-1).clamp_min(1)
            x = following
            if bool((left <= limit).all()):
                if listening():
                    again = (step(x) - x).abs().amax(-1) / x.abs().amax(-1).clamp_min(1)
                    report(Solved(what, count, again.max().item(), limit))
                return x
    missed = ~(left <= limit)
    row = int(missed.flatten().nonzero()[0, 0])
    raise InverseError(
        f"{what}: {int(missed.sum())} of {missed.numel()} rows did not converge to {limit:.2g} in {most} iterations; the first (row {row}) "
        f"is left with {left.flatten()[row].item():.3g}; use float64, or a larger tolerance; or the net's Lipschitz bound "
        f"({lipschitz:g}) does not hold"
    )
