"""What a law's verdict is, and how a law may look at a model: on a copy, never at the model itself."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..errors import InputError

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Check:
    """One law's verdict: the ``figure`` measured, the ``bound`` it has to stay below, and in ``note`` its unit and how it was measured.

    A figure that is NaN never passes. A check that passes although nothing could be decided says "not decided" in its note.

    >>> Check("round trip", float("nan"), 1e-10, True, "nats").passed
    False
    """

    law: str
    figure: float
    bound: float
    passed: bool
    note: str

    def __post_init__(self) -> None:
        if math.isnan(self.figure):
            object.__setattr__(self, "passed", False)

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return f"{verdict:6} {self.law}: {self.figure:.3g} (bound {self.bound:.3g}; {self.note})"


Law = Callable[[], Check]


def at_most(law: str, figure: float, bound: float, note: str) -> Check:
    """A check that passes where figure <= bound; NaN is not."""
    return Check(law, figure, bound, figure <= bound, note)


def worst_of(checks: list[Check]) -> Check:
    """The failed one, if any, else the one with the largest figure; NaN is larger than any."""
    return max(checks, key=lambda c: (not c.passed, math.isnan(c.figure), c.figure))


def hold(law: str, check: Law) -> Check:
    """The law's check; where it raises, a failed check that says what was raised.

    A model under test may raise anything: one crash must not keep the other laws from being tried.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            return check()
    except Exception as error:
        return Check(law, math.nan, 0.0, False, f"raised {type(error).__name__}: {error}")


def hold_all(laws: dict[str, Law], without: Collection[str]) -> list[Check]:
    """Every law's check but those left out, which have to be among them."""
    unknown = set(without) - set(laws)
    if unknown:
        raise InputError(
            f"without: expected names of laws that apply here ({', '.join(laws)}), got {', '.join(sorted(unknown))}"
        )
    return [hold(name, law) for name, law in laws.items() if name not in without]


def frozen_copy(module: M, dtype: torch.dtype = torch.float64) -> M:
    """A copy of the module on the CPU, in this dtype and in eval mode."""
    return copy.deepcopy(module).to("cpu", dtype).eval()


def as_rows(x: Tensor, context: Tensor | None, dtype: torch.dtype, limit: int) -> tuple[Tensor, Tensor | None]:
    """The first ``limit`` rows of x (rows, *event) and of their context, on the CPU, detached, in this dtype."""
    chosen = x.detach()[:limit].to("cpu", dtype)
    return chosen, None if context is None else context.detach()[:limit].to("cpu", dtype)


def check_rows(x: Tensor, context: Tensor | None, event_dim: int, context_dim: int | None = None) -> None:
    """Refuse what no law could be tried on, before the first of them runs."""
    if x.dim() != event_dim + 1 or len(x) < 2:
        raise InputError(
            f"x: expected at least two rows, shape (rows, *event) with {event_dim} event dimensions, got {tuple(x.shape)}; "
            "pass rows of data"
        )
    if not x.is_floating_point():
        raise InputError(f"x: expected floating-point rows, got {x.dtype}")
    if not bool(torch.isfinite(x).all()):
        row = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0, 0])
        raise InputError(f"x: expected finite rows, got NaN or infinity in row {row}; leave it out")
    if context is not None and (context.dim() != 2 or len(context) != len(x)):
        raise InputError(
            f"context: expected shape ({len(x)}, features), one row for each of x, got {tuple(context.shape)}"
        )
    if context_dim is not None and context_dim != (0 if context is None else context.shape[-1]):
        got = "none" if context is None else f"{context.shape[-1]} features"
        raise InputError(f"context: expected {context_dim} features, got {got}")


def units(x: Tensor, event_dim: int) -> Tensor:
    """What the numbers of an event are counted in when rows (rows, *event) are compared, to be multiplied with an event.

    A vector's columns have units of their own, metres beside millimetres: each is counted in its standard deviation over the rows, so
    that a law says the same in every unit; in the columns' own, all of a column of 1e-3 could be lost unseen, and one of 100 had its
    float32 digits less its mean's held against the rows near 0. The numbers of a picture share one unit, 1.
    """
    if event_dim != 1:
        return x.new_ones(())
    deviation = x.double().std(0)
    # A constant column's may come out as what rounding its mean left.
    constant = ~(deviation > 4 * torch.finfo(x.dtype).eps * x.double().abs().amax(0))
    return torch.where(constant, torch.ones_like(deviation), deviation).to(x.dtype)


def worst_row(actual: Tensor, expected: Tensor, unit: Tensor | None = None) -> tuple[float, int]:
    """The largest error of a row relative to max(1, largest number of the row), and that row; NaN where there is one.

    ``unit`` is what the numbers of a row are counted in, see ``units``; None: 1.
    """
    if actual.shape != expected.shape:
        raise InputError(f"expected shape {tuple(expected.shape)}, got {tuple(actual.shape)}")
    if unit is not None:
        actual, expected = actual / unit, expected / unit
    error = (actual - expected).abs().reshape(len(expected), -1)
    size = expected.abs().reshape(len(expected), -1)
    relative = error.amax(1) / size.amax(1).clamp_min(1)
    row = int(relative.argmax())
    return float(relative[row]), row


def exceeds(figure: float, worst: float) -> bool:
    """Whether a figure is worse than the worst so far; NaN is worse than any, and stays."""
    return math.isnan(figure) or figure > worst


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def listed(faults: list[str], none: str) -> str:
    """The first faults in words, or what to say where there are none."""
    return "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "") if faults else none
