"""Learning-rate factors as pure functions of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import InputError

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """Factor 1 at every step."""
    return lambda step: 1.0


def warmup_cosine(steps: int, *, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A linear rise over ``warmup`` steps, then half a cosine down to ``floor`` at ``steps``.

    >>> factor = warmup_cosine(100, warmup=10)
    >>> [round(factor(s), 3) for s in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if not 0 <= warmup <= steps:
        raise InputError(f"warmup: expected between 0 and steps = {steps}, got {warmup}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))

    return factor
