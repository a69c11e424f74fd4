"""Densities of points scattered around curves: the smile, the moons and the spirals.

    x = c(t) + e,   t with density w(t) on [low, high],   e independent of t, its coordinates of density k each
    log p(x) = log ∫ w(t) k(x1 - c1(t)) k(x2 - c2(t)) dt

Near a curve a fixed Gauss-Legendre rule, its nodes shared by all points, is exact to rounding and fast. Far from it the
integrand over t is a peak that narrows as 1/√distance, in the end between two nodes, and k underflows: such points are
integrated in logs, by panels that halve around each point's own peak.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bijectory.numerics.quadrature import gauss_legendre, log_integral

__all__ = ["Noise", "ScatteredCurve", "boxed_noise", "gaussian_noise"]

_FAST_VALUES = 2**18  # points times nodes at once: 2 MiB, and a chunk of neighbours small enough to need few nodes
_TAIL_ROWS = 2048  # of some 320 values each and as many again when halved: below 100 MiB
# Below this density, 26 deviations away, products of two factors are about to underflow; above it the peak over t is
# still broad enough for the fast rule, whose number of nodes is chosen for that.
_TRUSTED = 1e-150
_NEGLECTED = 40.0  # nats: nodes so far below the nearest are left out. With weights 1e8 apart that is 1e-9 at most


@dataclass(frozen=True)
class Noise:
    """A density of independent, identical coordinates.

    Attributes:
        factor: one coordinate's density, elementwise; it may underflow.
        log_factor: its logarithm.
        deviation, radius: the noise is N(0, deviation²) around a point within this radius.
    """

    factor: Callable[[Tensor], Tensor]
    log_factor: Callable[[Tensor], Tensor]
    deviation: float
    radius: float


@dataclass(frozen=True)
class ScatteredCurve:
    """A density around a curve, or around several joined end to end, p(x) = ∫ w(t) k(x1 - c1(t)) k(x2 - c2(t)) dt.

    Attributes:
        position: from t to the two coordinates of c(t), each of t's shape.
        weight: the density w of t, elementwise.
        low, high: where w is not zero.
        pieces: into so many equal parts [low, high] is divided; c and w are smooth inside each.
        nodes: of the fast rule, a piece. The curve must move by less than a deviation of the noise from node to node.
        noise: the density k.
    """

    position: Callable[[Tensor], tuple[Tensor, Tensor]]
    weight: Callable[[Tensor], Tensor]
    low: float
    high: float
    pieces: int
    nodes: int
    noise: Noise

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density at float64 points (N, 2), in joint nats, of shape (N,)."""
        points, weights = gauss_legendre(self.nodes)
        half = (self.high - self.low) / (2 * self.pieces)
        t = torch.cat([self.low + half * (2 * piece + 1 + points) for piece in range(self.pieces)])
        weights = half * weights.repeat(self.pieces) * self.weight(t)
        nodes = torch.stack(self.position(t), -1)
        rows = max(1, _FAST_VALUES // len(t))
        order = _neighbours_together(x.detach(), rows)
        values = torch.cat([self._log_prob(x[chunk], nodes, weights) for chunk in order.split(rows)])
        return values[order.argsort()]

    def _log_prob(self, x: Tensor, nodes: Tensor, weights: Tensor) -> Tensor:
        near = self._near(x.detach(), nodes)
        first, second = nodes[near].unbind(-1)
        density = (self._factor(x[:, 0], first) * self._factor(x[:, 1], second)) @ weights[near]
        far = ~(density > _TRUSTED)
        if not far.any():
            return density.log()
        tail = torch.cat([self._tail_log_prob(rows) for rows in x[far].split(_TAIL_ROWS)])
        return torch.where(far, 1.0, density).log().index_put((far,), tail)

    def _near(self, x: Tensor, nodes: Tensor) -> Tensor:
        """Which nodes matter to any of the points, judged by the box around them."""
        low, high = x.amin(0), x.amax(0)
        shortest = (nodes - nodes.clamp(low, high)).norm(dim=-1)
        longest = torch.maximum((nodes - low).abs(), (nodes - high).abs()).norm(dim=-1)
        # Up to a factor, a node's density at distance d lies between exp(-(d ± radius)² / 2 deviation²).
        sure = longest.min() + self.noise.radius
        reach = (sure.square() + 2 * _NEGLECTED * self.noise.deviation**2).sqrt() + self.noise.radius
        return shortest <= reach

    def _factor(self, x: Tensor, nodes: Tensor) -> Tensor:
        """k(x_i - c_n) of shape (N, nodes), computed once for equal x_i: points of a grid share theirs."""
        if x.requires_grad:  # torch.unique has no derivative
            return self.noise.factor(x[:, None] - nodes)
        values, index = x.unique(return_inverse=True)
        return self.noise.factor(values[:, None] - nodes)[index]

    def _tail_log_prob(self, x: Tensor) -> Tensor:
        def log_integrand(row: Tensor, t: Tensor) -> Tensor:
            first, second = self.position(t)
            here = x[row]
            log_noise = self.noise.log_factor(here[:, :1] - first) + self.noise.log_factor(here[:, 1:] - second)
            return self.weight(t).log() + log_noise

        panels = self.pieces * math.ceil(20 / self.pieces)  # so that no panel straddles the joint of two pieces
        return log_integral(log_integrand, len(x), self.low, self.high, panels=panels)


def _neighbours_together(x: Tensor, rows: int) -> Tensor:
    """An order of the points in which chunks of `rows` lie in small boxes: strips by x1, each sorted by x2."""
    strips = x[:, 0].argsort().split(max(rows, math.isqrt(len(x) * rows)))
    return torch.cat([strip[x[strip, 1].argsort()] for strip in strips])


def gaussian_noise(deviation: float) -> Noise:
    """N(0, deviation²) in each coordinate."""
    log_scale = -math.log(deviation) - 0.5 * math.log(2 * math.pi)

    def log_factor(offset: Tensor) -> Tensor:
        return log_scale - 0.5 * (offset / deviation).square()

    def factor(offset: Tensor) -> Tensor:
        return log_factor(offset).exp()

    return Noise(factor, log_factor, deviation, 0.0)


def boxed_noise(width: float, deviation: float) -> Noise:
    """The sum of U(-width/2, width/2) and N(0, deviation²) in each coordinate.

    k(e) = [Φ(h - z) - Φ(-h - z)] / width,   z = |e| / deviation,   h = width / (2 deviation)
    """
    h = width / (2 * deviation)
    root = math.sqrt(2)

    def factor(offset: Tensor) -> Tensor:
        # On the side z > 0 both terms are tails, so that their difference keeps its digits as they fall.
        z = offset.abs() / (deviation * root)
        return (torch.erfc(z - h / root) - torch.erfc(z + h / root)) / (2 * width)

    def log_factor(offset: Tensor) -> Tensor:
        # exp(-(z - h)²/2) is taken out of both terms: Φ(h - z) = exp(-(z - h)²/2) erfcx((z - h)/√2) / 2.
        z = offset.abs() / deviation
        scaled = torch.special.erfcx((z - h) / root) - torch.exp(-2 * h * z) * torch.special.erfcx((z + h) / root)
        return scaled.log() - 0.5 * (z - h).square() - math.log(2 * width)

    return Noise(factor, log_factor, deviation, width / root)
