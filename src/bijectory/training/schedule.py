"""Learning-rate factors as pure functions of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import InputError

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """Factor 1 at every step."""
    return lambda step: 1.0


def warmup_cosine(steps: int, *, warmup: int = 0, decay: float = 1.0, floor: float = 0.0) -> Schedule:
    """A linear rise over ``warmup`` steps, then 1, and half a cosine down to ``floor`` over the last part ``decay`` of what remains.

    >>> factor = warmup_cosine(100, warmup=10)
    >>> [round(factor(s), 3) for s in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    >>> warmup_cosine(100, decay=0.5)(50), warmup_cosine(100, decay=0.0)(99)
    (1.0, 1.0)
    """
    if not 0 <= warmup <= steps:
        raise InputError(f"warmup: expected between 0 and steps = {steps}, got {warmup}")
    if not 0 <= decay <= 1:
        raise InputError(f"decay: expected a part between 0 and 1, got {decay}")
    falling = decay * (steps - warmup)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = min(1.0, max(0.0, 1 + (step - steps) / falling)) if falling else 0.0
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))

    return factor
