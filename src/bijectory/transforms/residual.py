"""Residual flows: the identity and a contraction, invertible because of its constant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.determinant import log_abs_det
from ..numerics.fixed_point import fixed_point
from ..numerics.trace import jacobian, pulled, signs
from .estimated import EstimatedLogDet

Evaluated = Callable[[Tensor, Tensor | None], Tensor]


class Contraction(Protocol):
    """A network (*batch, D) -> (*batch, D) that shortens Euclidean distances by ``lipschitz`` < 1 at least, at any weights."""

    lipschitz: float

    def evaluated(self) -> Evaluated:
        """The network as a function, with what depends on its weights alone computed once."""
        ...


class Residual(EstimatedLogDet):
    """z = x + g(x; c), with a contraction g: |g(x) − g(y)| ≤ c_g·|x − y|, c_g < 1.

        log|det ∂z/∂x| = log det(1 + J) = Σ_{k≥1} (−1)^{k+1}/k · tr Jᵏ,   J = ∂g/∂x

    ``log_det="exact"`` forms J by D vector-Jacobian products and takes its determinant, D³: for small dimensions. ``"estimate"`` takes
    tr Jᵏ by one probe v of signs, vᵀJᵏv, and ends the series at random: ``terms`` of it always, each further one with probability
    ``survival`` once the one before it was taken, weighted by the inverse of the probability of coming so far. That is unbiased. With
    ``survival`` None it is c_g², the least at which the variance is finite whatever the weights; 4.3 further terms on average for
    c_g = 0.9. Each row has a series of its own; a batch takes as many products as its longest.
    Gradients of the estimate come from one more series, of (1 + J)⁻¹, in the memory of one product, and are unbiased too.

    The inverse is the fixed point of x = z − g(x), to ``tolerance`` relative to max(1, |row|) (None: 16 roundings of the dtype), which
    leaves x within tolerance/(1 − c_g); its gradient is implicit, to first order. Iterations and residual: see ``bijectory.residuals``.

    Sources: Behrmann et al. 2018 (i-ResNet, arXiv:1811.00995); Chen et al. 2019 (arXiv:1906.02735). Differs: the constant is a bound and no
    power iteration's guess; rows end their series apart, so that a row's number does not depend on those beside it; noise in float32 ends
    a series where fewer than 2⁻²⁴ come, a bias of at most 3e-5·D nats for c_g = 0.9.

    Raises InputError for a constant that is not between 0 and 1, fewer than one term or a survival outside (0, 1); InverseError where the
    fixed point is not reached.

    >>> import torch
    >>> from bijectory import LipschitzMLP
    >>> residual = Residual(LipschitzMLP(2, hidden=(8,), zero=False)).double()
    >>> x = torch.randn(5, 2, dtype=torch.float64)
    >>> torch.allclose(residual.inverse(residual(x)), x, atol=1e-12)
    True
    """

    def __init__(
        self,
        net: Contraction,
        *,
        log_det: Literal["exact", "estimate"] = "exact",
        terms: int = 4,
        survival: float | None = None,
        tolerance: float | None = None,
    ) -> None:
        super().__init__()
        if log_det not in ("exact", "estimate"):
            raise InputError(f"log_det: expected 'exact' or 'estimate', got {log_det!r}")
        if not 0 < net.lipschitz < 1:
            raise InputError(f"net: expected a Lipschitz constant between 0 and 1, got {net.lipschitz}")
        if terms < 1:
            raise InputError(f"terms: expected at least one, got {terms}")
        if survival is not None and not 0 < survival < 1:
            raise InputError(f"survival: expected a probability between 0 and 1, got {survival}")
        self.net, self.exact_log_det = net, log_det == "exact"
        self.terms, self.survival, self.tolerance = terms, survival or net.lipschitz**2, tolerance

    def noise_size(self, numbers: int) -> int:
        """A sign for each number of the event, and where the series ends."""
        return 0 if self.exact_log_det else numbers + 1

    def forward_and_estimate(self, x: Tensor, context: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        g, log_det = self._log_det(self.net.evaluated(), x, context, noise)
        return x + g, log_det

    def inverse_and_estimate(self, z: Tensor, context: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        net = self.net.evaluated()
        x = self._inverse(net, z, context)
        return x, -self._log_det(net, x, context, noise)[1]

    def _log_det(
        self, net: Evaluated, x: Tensor, context: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """g(x) and log det(1 + J), or an estimate of it."""

        def g(y: Tensor) -> Tensor:
            return net(y, context)

        if noise is not None:
            return _series(g, x, noise, self.terms, self.survival)
        value, whole = jacobian(g, x)
        one = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        # The determinant is positive: no eigenvalue of J reaches −1.
        return value, log_abs_det(one + whole)

    def _inverse(self, net: Evaluated, z: Tensor, context: Tensor | None) -> Tensor:
        constant = self.net.lipschitz

        def solve(step: Callable[[Tensor], Tensor], start: Tensor, what: str) -> Tensor:
            return fixed_point(step, start, lipschitz=constant, what=what, tolerance=self.tolerance)

        root = solve(lambda x: z - net(x, context), z.detach(), "residual map").detach()
        if not torch.is_grad_enabled():
            return root
        # One step more, whose value is the root and whose gradient to z and the weights is still to be multiplied by (1 + J)⁻¹.
        again = z - net(root, context)
        if not again.requires_grad:
            return root
        pull = pulled(lambda y: net(y, context), root)[1]

        def back(gradient: Tensor) -> Tensor:
            return solve(lambda y: gradient - pull(y), gradient, "residual map, gradient")

        held: Tensor = _Implicit.apply(again, root, back)
        return held


class _Implicit(torch.autograd.Function):
    """The root as a value; its gradient, sent through ``back``, reaches what ``again`` was computed from."""

    @staticmethod
    def forward(ctx: Any, again: Tensor, root: Tensor, back: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.back = back
        return root.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(gradients[0].detach()), None, None


def _series(
    g: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor, terms: int, survival: float
) -> tuple[Tensor, Tensor]:
    """g(x) and the estimate of log det(1 + J), with its gradient; noise (*batch, D + 1)."""
    # In the noise's own dtype: 1 − 1e-12 becomes 1 in float32, and its series never ends.
    probe, left = signs(noise[..., :-1]).to(x.dtype), 1 - noise[..., -1]
    # How many terms each row takes: P(ends ≥ terms + k) = P(left ≤ survivalᵏ) = survivalᵏ.
    ends = (terms + torch.floor(torch.log(left) / math.log(survival))).to(x.dtype)
    longest = int(ends.max()) if ends.numel() else terms
    with torch.no_grad():
        _, pull = pulled(g, x)
        row, total, resolvent = probe, torch.zeros_like(ends), torch.zeros_like(probe)
        for k in range(1, longest + 1):
            weight = (ends >= k).to(x.dtype) * ((-1.0) ** (k + 1) * survival ** -max(0, k - terms))
            resolvent = resolvent + weight.unsqueeze(-1) * row
            row = pull(row)
            total = total + weight / k * (row * probe).sum(-1)
    if not torch.is_grad_enabled():
        return g(x), total
    value, pull = pulled(g, x)
    # d log det(1 + J) = tr (1 + J)⁻¹ dJ: the resolvent's series is held constant, and J is differentiated once.
    carrier = (pull(resolvent) * probe).sum(-1)
    return value, total + (carrier - carrier.detach())
