"""Densities in the plane, and one on the line, of which the truth is known: samples, exact log-density and entropy.

A flow trained on one of them can be told how far it is from the best: its mean -log p on fresh points minus `entropy`
is its Kullback-Leibler divergence from the truth, in joint nats (over all columns together, not per dimension).

The shapes are those of CS294-158 (smiley), scikit-learn (moons) and FFJORD (Grathwohl et al. 2018, arXiv:1810.01367:
eight_gaussians, checkerboard, pinwheel, spirals, rings). Differs: rows are independent draws, where the originals space
some parameters evenly or share the rows out exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bijectory.data.curves import ScatteredCurve, boxed_noise, gaussian_noise
from bijectory.data.pinwheel import ARMS, draw_pinwheel, pinwheel_log_prob
from bijectory.errors import DomainError, InputError, ShapeError, UnknownNameError
from bijectory.numerics.quadrature import integrate

__all__ = ["TOYS", "Toy", "homework_smiley", "toy"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Toy:
    """A density with exact samples, log-density and entropy; made by `toy`.

    Attributes:
        name: one of `TOYS`.
        columns: the names of the d columns, ('x1', 'x2') or ('x1',).
        num_labels: labels run from 0 to num_labels - 1.
        low, high: corners of a box outside which lies less than a millionth of the mass.
    """

    name: str
    columns: tuple[str, ...]
    num_labels: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    _draw: Callable[[np.random.Generator, int], tuple[Floats, Labels]]
    _log_prob: Callable[[Tensor], Tensor]
    _closed_entropy: float | None = None

    def sample(self, n: int, *, seed: int = 0) -> tuple[Floats, Labels]:
        """n independent rows (n, d) in float64, and the label of the part each was drawn from (n,), in int64.

        Raises:
            InputError: n is negative.

        Example:
            >>> x, y = toy("moons").sample(5, seed=1)
            >>> x.shape, y.tolist()
            ((5, 2), [0, 1, 1, 1, 0])
        """
        if n < 0:
            raise InputError(f"n: expected a number of rows, at least 0, got {n}")
        return self._draw(np.random.default_rng(seed), n)

    def log_prob(self, x: Tensor) -> Tensor:
        """The exact log-density of points (*batch, d), in joint nats, float64 of shape (*batch), on x's device.

        Computed in float64 on the CPU, in chunks, and differentiable in x. Correct to 1e-6 far into the tails and finite
        there, but for the checkerboard, -inf outside its squares. (Below -310 nats the pinwheel's is a mean over the
        angle.)

        Raises:
            ShapeError: the last dimension is not d.
            DomainError: x holds NaN or infinity.

        Example:
            >>> toy("parabola").log_prob(torch.tensor([[0.0, 0.0], [-100.0, 0.0]])).round(decimals=4).tolist()
            [-3.2242, -5003.2242]
        """
        dim = len(self.columns)
        if x.ndim == 0 or x.shape[-1] != dim:
            raise ShapeError(
                f"x: expected (*batch, {dim}) for the columns {', '.join(self.columns)}, got {tuple(x.shape)}"
            )
        rows = x.to("cpu", torch.float64).reshape(-1, dim)
        bad = ~torch.isfinite(rows).all(-1)
        if bad.any():
            row = int(bad.nonzero()[0, 0])
            raise DomainError(f"x: expected finite values, got {rows[row].tolist()} in row {row}; leave such rows out")
        if not len(rows):
            return x.new_zeros(x.shape[:-1], dtype=torch.float64)
        return self._log_prob(rows).reshape(x.shape[:-1]).to(x.device)

    @cached_property
    def entropy(self) -> float:
        """The differential entropy -∫ p log p, in joint nats: in closed form, else by quadrature to 1e-4."""
        if self._closed_entropy is not None:
            return self._closed_entropy

        def integrand(x: Tensor) -> Tensor:
            log_prob = self._log_prob(x)
            return -log_prob * log_prob.exp()

        return integrate(integrand, self.low, self.high, tolerance=1e-4).value


def _gaussians_log_prob(x: Tensor, centres: Floats, deviations: Floats) -> Tensor:
    """An equal mixture of round Gaussians: x (N, d), centres (K, d), deviations (K,) -> (N,)."""
    scale = torch.from_numpy(deviations)
    squares = ((x[:, None] - torch.from_numpy(centres)) / scale[:, None]).square().sum(-1)
    logs = -0.5 * squares - x.shape[1] * (scale.log() + 0.5 * math.log(2 * math.pi))
    return torch.logsumexp(logs, -1) - math.log(len(centres))


def _gaussians(name: str, centres: Floats, deviations: Floats, low: tuple[float, ...], high: tuple[float, ...]) -> Toy:
    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        label = rng.integers(len(centres), size=n)
        return centres[label] + deviations[label, None] * rng.standard_normal((n, centres.shape[1])), label

    columns = ("x1", "x2")[: centres.shape[1]]
    return Toy(name, columns, len(centres), low, high, draw, lambda x: _gaussians_log_prob(x, centres, deviations))


def _eight_gaussians() -> Toy:
    angle = np.arange(8) * math.pi / 4
    centres = 4 * np.stack([np.cos(angle), np.sin(angle)], -1) / 1.414  # 1.414 and not √2: the published generator's
    return _gaussians("eight_gaussians", centres, np.full(8, 0.5 / 1.414), (-5.8, -5.8), (5.8, 5.8))


def _bimodal1d() -> Toy:
    return _gaussians("bimodal1d", np.array([[-1.0], [0.5]]), np.array([0.25, 0.5]), (-4.0,), (5.0,))


_EYES = np.array([[-1.5, 2.5], [1.5, 2.5]])
_FACE = 0.2


def _smile(t: Floats) -> Floats:
    return np.stack([2 * np.cos(t), -np.sin(t)], -1)


def _smiley() -> Toy:
    """A third each: N((±1.5, 2.5), 0.2² I) and (2 cos t, -sin t) + N(0, 0.2² I) with t uniform on [0, π]."""
    smile = ScatteredCurve(
        position=lambda t: (2 * t.cos(), -t.sin()),
        weight=lambda t: torch.full_like(t, 1 / math.pi),
        low=0.0,
        high=math.pi,
        pieces=1,
        nodes=128,
        noise=gaussian_noise(_FACE),
    )

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        label = rng.integers(3, size=n)
        mouth = _smile(math.pi * rng.random(n))
        centre = np.where(label[:, None] == 2, mouth, _EYES[np.minimum(label, 1)])
        return centre + _FACE * rng.standard_normal((n, 2)), label

    def log_prob(x: Tensor) -> Tensor:
        eyes = _gaussians_log_prob(x, _EYES, np.full(2, _FACE))
        return torch.logaddexp(eyes + math.log(2 / 3), smile.log_prob(x) - math.log(3))

    return Toy("smiley", ("x1", "x2"), 3, (-3.8, -2.8), (3.8, 4.3), draw, log_prob)


def _moons() -> Toy:
    """(cos t, sin t), t in [0, π], or (1 + cos t, 0.5 + sin t), t in [π, 2π]; both + N(0, 0.1² I)."""
    moons = ScatteredCurve(
        position=lambda t: (t.cos() + (t > math.pi), t.sin() + 0.5 * (t > math.pi)),
        weight=lambda t: torch.full_like(t, 1 / (2 * math.pi)),
        low=0.0,
        high=2 * math.pi,
        pieces=2,
        nodes=128,
        noise=gaussian_noise(0.1),
    )

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        label = rng.integers(2, size=n)
        t = math.pi * (label + rng.random(n))
        centre = np.stack([np.cos(t) + label, np.sin(t) + 0.5 * label], -1)
        return centre + 0.1 * rng.standard_normal((n, 2)), label

    return Toy("moons", ("x1", "x2"), 2, (-1.9, -1.4), (2.9, 1.9), draw, moons.log_prob)


def _spirals() -> Toy:
    """±[(-n cos n, n sin n) + U(0, 0.5)²] / 3 + N(0, 0.1² I), with n = 3π √U(0, 1)."""
    box = 0.5 / 3

    def position(t: Tensor) -> tuple[Tensor, Tensor]:
        # t = ± n / 3π, of density |t|; the middle of the uniform box goes with the curve.
        n, side = 3 * math.pi * t.abs(), t.sign()
        return side * (box / 2 - n * n.cos() / 3), side * (box / 2 + n * n.sin() / 3)

    spirals = ScatteredCurve(
        position, weight=torch.abs, low=-1.0, high=1.0, pieces=2, nodes=400, noise=boxed_noise(box, 0.1)
    )

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        label = rng.integers(2, size=n)
        turn = 3 * math.pi * np.sqrt(rng.random(n))
        arm = (np.stack([-turn * np.cos(turn), turn * np.sin(turn)], -1) + 0.5 * rng.random((n, 2))) / 3
        return (1 - 2 * label)[:, None] * arm + 0.1 * rng.standard_normal((n, 2)), label

    return Toy("spirals", ("x1", "x2"), 2, (-4.0, -4.0), (4.0, 4.0), draw, spirals.log_prob)


def _pinwheel() -> Toy:
    return Toy("pinwheel", ("x1", "x2"), ARMS, (-6.0, -6.0), (6.0, 6.0), draw_pinwheel, pinwheel_log_prob)


def _rings() -> Toy:
    """Radii 3, 2.25, 1.5, 0.75, a quarter each, at a uniform angle, + N(0, 0.08² I).

    p(x) = Σ_R exp(-(ρ² + R²) / 2σ²) I0(ρR / σ²) / (4 · 2πσ²),  with I0(u) = exp(u) i0e(u) and ρ = |x|
    """
    radii, deviation = np.array([3.0, 2.25, 1.5, 0.75]), 0.08

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        label, angle = rng.integers(4, size=n), 2 * math.pi * rng.random(n)
        ring = radii[label, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        return ring + deviation * rng.standard_normal((n, 2)), label

    def log_prob(x: Tensor) -> Tensor:
        rho, centre = x.norm(dim=-1, keepdim=True), torch.from_numpy(radii)
        spread = torch.special.i0e(rho * centre / deviation**2).log()
        logs = spread - 0.5 * ((rho - centre) / deviation).square()
        return torch.logsumexp(logs, -1) - math.log(4 * 2 * math.pi * deviation**2)

    return Toy("rings", ("x1", "x2"), 4, (-3.8, -3.8), (3.8, 3.8), draw, log_prob)


def _checkerboard() -> Toy:
    """Uniform on the 8 squares of side 2 in [-4, 4]² whose column and row add to an even number.

    The label is 2 · column + row, of 4 columns from the left and the 2 squares of each from below.
    """
    entropy = math.log(8 * 2.0**2)

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        label = rng.integers(8, size=n)
        column, row = label // 2, 2 * (label % 2) + label // 2 % 2
        return 2 * (np.stack([column, row], -1) + rng.random((n, 2))) - 4, label

    def log_prob(x: Tensor) -> Tensor:
        inside = (x >= -4).all(-1) & (x < 4).all(-1)
        dark = (x / 2).floor().sum(-1).remainder(2) == 0
        return torch.full(x.shape[:-1], -entropy, dtype=torch.float64).masked_fill(~(inside & dark), -math.inf)

    return Toy("checkerboard", ("x1", "x2"), 8, (-4.0, -4.0), (4.0, 4.0), draw, log_prob, entropy)


def _parabola() -> Toy:
    """x2 ~ N(0, 4²), x1 ~ N(x2² / 4, 1); the label is 1 where x2 is positive."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Labels]:
        x2 = 4 * rng.standard_normal(n)
        return np.stack([x2**2 / 4 + rng.standard_normal(n), x2], -1), (x2 > 0).astype(np.int64)

    def log_prob(x: Tensor) -> Tensor:
        x1, x2 = x.unbind(-1)
        return -0.5 * ((x2 / 4).square() + (x1 - x2.square() / 4).square()) - math.log(2 * math.pi * 4)

    entropy = math.log(2 * math.pi * math.e * 4)  # two independent Gaussians, sheared: the determinant is 1
    return Toy("parabola", ("x1", "x2"), 2, (-7.0, -26.0), (176.0, 26.0), draw, log_prob, entropy)


_MAKERS = {
    "smiley": _smiley,
    "moons": _moons,
    "eight_gaussians": _eight_gaussians,
    "checkerboard": _checkerboard,
    "pinwheel": _pinwheel,
    "spirals": _spirals,
    "rings": _rings,
    "parabola": _parabola,
    "bimodal1d": _bimodal1d,
}
TOYS: tuple[str, ...] = tuple(_MAKERS)


def toy(name: str) -> Toy:
    """The toy density of that name, the same object at every call.

    Raises:
        UnknownNameError: no toy has that name; the message lists those that exist.

    Example:
        >>> density = toy("checkerboard")
        >>> round(density.entropy, 4), density.num_labels
        (3.4657, 8)
    """
    if name not in _MAKERS:
        raise UnknownNameError(f"toy: expected one of {', '.join(TOYS)}; got {name!r}")
    return _make(name)


@cache
def _make(name: str) -> Toy:
    return _MAKERS[name]()


def homework_smiley() -> tuple[Floats, Labels, Floats, Labels]:
    """The smiley face of CS294-158, homework 2, number for number: x_train, y_train, x_test, y_test.

    100,000 // 3 points for each eye and for the mouth, whose t is spaced evenly over [0, π] and not drawn, from
    numpy's RandomState(0), permuted by it; the first 80 % are for training. x in float64 (79999, 2) and (20000, 2).

    Example:
        >>> x_train, y_train, x_test, y_test = homework_smiley()
        >>> x_train.shape, x_test.shape, sorted(set(y_test.tolist()))
        ((79999, 2), (20000, 2), [0, 1, 2])
    """
    rng = np.random.RandomState(0)
    count = 100_000 // 3
    parts = [eye + rng.randn(count, 2) * _FACE for eye in _EYES]
    parts.append(_smile(np.linspace(0, math.pi, count)) + rng.randn(count, 2) * _FACE)
    x, y = np.concatenate(parts), np.repeat(np.arange(3, dtype=np.int64), count)
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    train = int(0.8 * len(x))
    return x[:train], y[:train], x[train:], y[train:]
