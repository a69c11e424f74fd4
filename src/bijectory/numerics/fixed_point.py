"""Fixed points of contractions, to a stated tolerance or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InverseError
from .loops import State, repeat
from .residuals import Solved, listening, report
from .tracing import traced


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

    Raises InverseError where the tolerance is not met: ``step`` is then no contraction, or not finite, or rounds more than that. Inside a
    compiled or exported graph and inside ``torch.func``, where nobody can raise, such rows are NaN.
    """
    limit = 16 * torch.finfo(start.dtype).eps if tolerance is None else tolerance
    # Three times what brings a start that is wrong by 1 down to the tolerance: a start may be wrong by 1/tolerance², no more.
    most = 32 + math.ceil(3 * math.log(limit) / math.log(lipschitz))

    def stepped(x: Tensor, left: Tensor, count: Tensor) -> State:
        following = step(x)
        left = (following - x).abs().amax(-1) / following.abs().amax(-1).clamp_min(1)
        return following, left, count + 1

    def unfinished(x: Tensor, left: Tensor, count: Tensor) -> Tensor:
        return ~(left <= limit).all() & (count < most)

    with torch.no_grad():
        if start.numel() == 0:
            return start
        x, left, count = repeat(
            unfinished, stepped, stepped(start, start, torch.zeros((), dtype=torch.int64, device=start.device))
        )
        met = left <= limit
        if traced():
            return torch.where(met.unsqueeze(-1), x, math.nan)
        if bool(met.all()):
            if listening():
                report(Solved(what, int(count), stepped(x, left, count)[1].max().item(), limit))
            return x
    missed = ~met
    row = int(missed.flatten().nonzero()[0, 0])
    raise InverseError(
        f"{what}: {int(missed.sum())} of {missed.numel()} rows did not converge to {limit:.2g} in {most} iterations; the first (row {row}) "
        f"is left with {left.flatten()[row].item():.3g}; use float64, or a larger tolerance; or the net's Lipschitz bound "
        f"({lipschitz:g}) does not hold"
    )
