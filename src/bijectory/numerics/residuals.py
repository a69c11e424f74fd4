"""What numeric inverses leave: how far from their equations they stopped, for whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Solved:
    """One equation solved for a whole batch: by whom, in how many iterations, and what was left of it.

    ``residual`` is the worst |f(x) − target| of the batch relative to max(1, |target|), recomputed at the x that was returned;
    ``tolerance`` is what the solver works towards in the same unit. A root that floating point cannot place any better, between two
    neighbouring numbers where the function is steep, may leave more than that.
    """

    what: str
    iterations: int
    residual: float
    tolerance: float


class _Listeners(threading.local):
    def __init__(self) -> None:
        self.lists: tuple[list[Solved], ...] = ()


_listeners = _Listeners()


@contextmanager
def residuals() -> Iterator[list[Solved]]:
    """Collect what every numeric inverse inside the block leaves.

    Under ``what`` "root": mixture CDFs and planar maps, one a call; Sylvester maps, one a term; block neural autoregressive maps, one a
    coordinate; quantiles of a table's values. Under "residual map" the fixed points of residual maps, and under "residual map, gradient"
    those of their gradients. Under "jacobi" autoregressions whose ``sampling`` is "jacobi". Differential equations report nothing.

    One entry a solve, in order, of this thread alone; blocks may be nested, and each sees all. Only inside such a block does a solver
    evaluate its function once more and wait for the device to say what is left.

    >>> import torch
    >>> from bijectory import MixtureCDF
    >>> mixture = MixtureCDF(3)
    >>> with residuals() as solved:
    ...     x, _ = mixture.inverse(torch.linspace(-4, 4, 9).double(), torch.zeros(9, 9).double())
    >>> [(one.what, one.residual <= one.tolerance) for one in solved]
    [('root', True)]
    """
    found: list[Solved] = []
    before = _listeners.lists
    _listeners.lists = (*before, found)
    try:
        yield found
    finally:
        _listeners.lists = before


def listening() -> bool:
    """Whether anybody in this thread collects residuals: solvers look before they compute what only a listener wants."""
    return bool(_listeners.lists)


def report(solved: Solved) -> None:
    """Hand a result to every block that listens."""
    for found in _listeners.lists:
        found.append(solved)
