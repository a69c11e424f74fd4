"""The pinwheel of FFJORD: five Gaussian arms, each wound up by a rotation that grows exponentially along it.

In an arm's own frame a point is (a, -b), with a ~ N(1, 0.3²) along the arm and b ~ N(0, 0.1²) across it. It is turned
clockwise by 2πk/5 + r exp(a), where r = 0.25 and k = 0 … 4, and doubled. The map from (a, b) to x has the determinant
4 (1 - r b exp(a)). It vanishes on a curve: there the plane is folded over and the density of x is infinite, though
its integral is not. The mass nearby is some 1e-8.

To invert the map, let ρ be half the length of x, φ its clockwise angle, and (a, b) = ρ (cos δ, sin δ). Then (a, b) is
mapped to x, in one of the arms, if and only if

    F(δ) = δ + r exp(ρ cos δ)  ≡  φ   modulo 2π/5,   -π < δ ≤ π,      and F'(δ) = 1 - r b exp(a)

F either rises from -π to π, or rises, falls and rises again, turning where the unimodal r ρ sin δ exp(ρ cos δ) is 1. So
each solution is alone in a known interval and none is missed:

    p(x) = Σ over the solutions  N(a; 1, 0.3²) N(b; 0, 0.1²) / (5 · 4 |F'(δ)|)
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bijectory.numerics.quadrature import gauss_legendre

__all__ = ["ARMS", "draw_pinwheel", "pinwheel_log_prob"]

ARMS = 5
_RATE = 0.25
_ALONG, _ACROSS = 0.3, 0.1
_STEP = 2 * math.pi / ARMS
_ROWS = 4096  # of up to 2 · 64 + 6 solutions each: below 100 MiB
# Solutions taken on each side of a crest of F, and the ρ up to which those left out are e^-40 of the largest.
_MOST, _WOUND = 64, 8.5
# √eps, the closest to zero that F' comes at a solution found in float64. At x on the fold itself, where the density is
# infinite, it stands for zero.
_FOLD = 1e-8


def draw_pinwheel(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """n points (n, 2) and their arms (n,)."""
    arm = rng.integers(ARMS, size=n)
    along = 1 + _ALONG * rng.standard_normal(n)
    across = _ACROSS * rng.standard_normal(n)
    angle = _STEP * arm + _RATE * np.exp(along)
    turned = np.stack(
        [along * np.cos(angle) + across * np.sin(angle), across * np.cos(angle) - along * np.sin(angle)], -1
    )
    return 2 * turned, arm.astype(np.int64)


def pinwheel_log_prob(x: Tensor) -> Tensor:
    """The log-density at float64 points (N, 2), in joint nats, of shape (N,).

    Exact while |x| < 17, to some -310 nats. Further out the turns of the arms lie so close that a point has hundreds of
    solutions, and soon more than float64 can tell apart: there the mean over the angle φ stands for the density. It
    is off by up to 0.8 nats at |x| = 17, and by ever less beyond.
    """
    return torch.cat([_log_prob(chunk) for chunk in x.split(_ROWS)])


def _log_prob(x: Tensor) -> Tensor:
    radius = x.square().sum(-1).sqrt() / 2
    wound = radius >= _WOUND
    exact = _sum_of_solutions(torch.where(wound, 1.0, radius), torch.atan2(-x[:, 1], x[:, 0]))
    if not wound.any():
        return exact
    return exact.index_put((wound,), _mean_over_angle(radius[wound]))


def _log_normals(a: Tensor, b: Tensor) -> Tensor:
    return -0.5 * (((a - 1) / _ALONG).square() + (b / _ACROSS).square()) - math.log(2 * math.pi * _ALONG * _ACROSS)


def _mean_over_angle(radius: Tensor) -> Tensor:
    """log of (1 / 4) (1 / 2π) ∫ N(a) N(b) dδ: for ρ of 8 and more, a peak at δ = 0 of the width 0.106 / ρ."""
    points, weights = gauss_legendre(64)
    delta = 1.2 * points / radius[:, None]
    logs = _log_normals(radius[:, None] * delta.cos(), radius[:, None] * delta.sin())
    return torch.logsumexp(logs + (1.2 * weights).log(), -1) - radius.log() - math.log(8 * math.pi)


def _winding(delta: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """F and F' at δ."""
    turn = _RATE * torch.exp(radius * delta.cos())
    return delta + turn, 1 - radius * delta.sin() * turn


@torch.no_grad()
def _root(radius: Tensor, target: Tensor, low: Tensor, high: Tensor, sign: Tensor) -> Tensor:
    """The δ in [low, high] at which F, of slope `sign` there, is target: Newton's steps in a bracket that shrinks."""
    delta, step = (low + high) / 2, high - low
    for _ in range(80):
        value, slope = _winding(delta, radius)
        error = sign * (value - target)
        low, high = torch.where(error > 0, low, delta), torch.where(error > 0, delta, high)
        newton = delta - sign * error / slope
        # Close to a turning point Newton overshoots or creeps: its step must be inside and at most half of the last.
        good = (newton >= low) & (newton <= high) & ((newton - delta).abs() <= step / 2)
        # Found to 1e-13, the log-density is right to 1e-9, its slope being at most 90 ρ² = 6,500. There δ stays: the
        # next Newton step is rounding, might not be half of the last, and would send δ to the middle of its bracket.
        found = step <= 1e-13
        following = torch.where(found, delta, torch.where(good, newton, (low + high) / 2))
        step = torch.where(found, step, (following - delta).abs())
        delta = following
        if bool(found.all()):
            break
    return delta


@torch.no_grad()
def _turning_points(radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether F folds, and the δ where it starts to fall and to rise again (π and π where it does not fold)."""
    steepest = torch.acos(2 * radius / (1 + (1 + 4 * radius.square()).sqrt()))
    folds = _winding(steepest, radius)[1] < 0
    fall, rise = torch.full_like(radius, math.pi), torch.full_like(radius, math.pi)
    radius, middle = radius[folds], steepest[folds]
    for found, outer in ((fall, 0.0), (rise, math.pi)):
        rising, falling = torch.full_like(middle, outer), middle
        for _ in range(60):
            centre = (rising + falling) / 2
            rises = _winding(centre, radius)[1] > 0
            rising, falling = torch.where(rises, centre, rising), torch.where(rises, falling, centre)
        found[folds] = rising
    return folds, fall, rise


@torch.no_grad()
def _solutions(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """All (row, δ) with F(δ) ≡ φ modulo 2π/5, the far ones of a fold left out."""
    folds, fall, rise = _turning_points(radius)
    ends = torch.full_like(radius, math.pi)
    crest, trough = _winding(fall, radius)[0], _winding(rise, radius)[0]
    bottom, top = _winding(-ends, radius)[0], _winding(ends, radius)[0]
    below_crest = torch.remainder(crest - angle, _STEP)
    above_trough = torch.remainder(angle - trough, _STEP)
    # A rise over exactly five steps has five solutions; counting them there would be at the mercy of rounding. At the
    # seam δ = ±π of a folded F rounding may count one twice or never, but its density is e^-38 of the largest.
    counts = torch.stack(
        [
            torch.where(folds, ((crest - bottom - below_crest) / _STEP).floor() + 1, float(ARMS)),
            torch.where(folds, ((crest - trough - below_crest) / _STEP).floor() + 1, 0.0),
            torch.where(folds, ((top - trough - above_trough) / _STEP).floor() + 1, 0.0),
        ],
        -1,
    ).clamp(0, _MOST)
    first = torch.stack([crest - below_crest, crest - below_crest, trough + above_trough], -1)
    low, high = torch.stack([-ends, fall, rise], -1), torch.stack([fall, rise, ends], -1)

    branch = torch.arange(counts.numel()).repeat_interleave(counts.long().flatten())
    number = torch.arange(len(branch)) - (counts.long().flatten().cumsum(0) - counts.long().flatten())[branch]
    kind = branch % 3
    upwards = 2 * (kind == 2).double() - 1  # solutions are numbered from the crest down, from the trough up
    target = first.flatten()[branch] + _STEP * upwards * number
    sign = 1 - 2 * (kind == 1).double()
    row = branch // 3
    return row, _root(radius[row], target, low.flatten()[branch], high.flatten()[branch], sign)


def _sum_of_solutions(radius: Tensor, angle: Tensor) -> Tensor:
    row, delta = _solutions(radius.detach(), angle.detach())
    here = radius[row]
    # F(δ) - φ stays constant as x moves: this term is zero and has the derivative of δ (implicit function theorem).
    value, slope = _winding(delta, here)
    constraint = value - angle[row]
    delta = delta - (constraint - constraint.detach()) / slope.detach()
    slope = _winding(delta, here)[1]
    logs = _log_normals(here * delta.cos(), here * delta.sin()) - slope.abs().clamp_min(_FOLD).log()
    top = torch.full_like(radius, -math.inf).scatter_reduce(0, row, logs.detach(), "amax")
    total = torch.zeros_like(radius).index_add(0, row, (logs - top[row]).exp())
    return total.log() + top - math.log(4 * ARMS)
