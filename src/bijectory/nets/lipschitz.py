"""Networks whose Lipschitz constant is known, and holds: linear layers scaled by a bound on their norm, 1-Lipschitz activations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .mlp import check_context, squashed

#: Squarings of the Gram matrix: after 7 the bound on a matrix of rank 128 is at most 1 % above its norm, of any rank below 2¹² 1.7 %.
SQUARINGS = 7


def spectral_bound(weight: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """A number that the spectral norm of W (outputs, inputs) never exceeds, a few percent above it at most; differentiable.

        ‖W‖₂ ≤ ‖(WᵀW)^(2^t)‖_F^(1/2^(t+1)) ≤ rank^(1/2^(t+2)) · ‖W‖₂

    A power iteration comes from below: at a new weight it understates the norm, and the constant that a residual map lives on does not
    hold (in training mode by the steps it lags, in eval mode by whatever the last one left). This one comes from above, at every weight,
    without a memory. For W = 0 it is 1. Source: Delattre et al. 2023 (Gram iteration, arXiv:2305.16173).

    >>> bool(torch.linalg.matrix_norm(torch.eye(3) * 2, 2) <= spectral_bound(torch.eye(3) * 2) < 2.02)
    True
    """
    # The largest entry is taken out as a constant, since squares of 1e-12 and of 1e12 leave float32.
    largest = weight.detach().abs().max()
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    weight = weight / largest
    gram = weight @ weight.T if weight.shape[0] < weight.shape[1] else weight.T @ weight
    log_bound, share = torch.zeros((), dtype=weight.dtype, device=weight.device), 0.5
    for _ in range(squarings):
        # Divided by its norm each time: the 128th power of a norm of 2 is beyond float32.
        gram, log_norm = _unit(gram)
        log_bound = log_bound + share * log_norm
        gram, share = gram @ gram, 0.5 * share
    log_bound = log_bound + share * _unit(gram)[1]
    # What the products round away, some eps for each number added: without it bounds in float32 came out up to 3e-7 below the norm.
    allowance = 1 + 4 * max(weight.shape) * torch.finfo(weight.dtype).eps
    return allowance * largest * torch.exp(log_bound)


def _unit(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix divided by its Frobenius norm, and the norm's log; a matrix of zeros as it is, since 0/0 would be NaN."""
    squared = (matrix * matrix).sum()
    norm = torch.sqrt(torch.where(squared > 0, squared, torch.ones_like(squared)))
    return matrix / norm, torch.log(norm)


def lip_swish(x: Tensor, sharpness: Tensor) -> Tensor:
    """x · σ(βx) / 1.1, β = softplus(sharpness): smooth, and its slope is at most 1 for every β.

    Source: Chen et al. 2019 (arXiv:1906.02735).
    """
    return x * torch.sigmoid(F.softplus(sharpness) * x) / 1.1


class LipschitzMLP(nn.Module):
    """A perceptron (*batch, features) -> (*batch, features) that shortens every distance: |g(x) − g(y)| ≤ lipschitz · |x − y|.

        g = A_n ∘ s ∘ … ∘ s ∘ A_1,   A_i x = W_i x · min(1, l / bound(W_i)) + b_i,   l = lipschitz^(1/n)

    ``bound`` is ``spectral_bound``, never below the norm, so that the constant holds for any weights, in training and in eval mode. A
    context enters the first layer by a matrix of its own that nothing limits: the constant is one in x. ``squash`` has the net read
    5·tanh(x/5), which shortens distances too. ``zero`` starts the last layer at zero.

    Raises InputError for a constant that is not between 0 and 1.

    >>> import torch
    >>> LipschitzMLP(3, hidden=(8,), zero=False)(torch.zeros(7, 3)).shape
    torch.Size([7, 3])
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: Sequence[int] = (64, 64),
        lipschitz: float = 0.9,
        context_dim: int = 0,
        zero: bool = True,
        squash: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < lipschitz < 1:
            raise InputError(f"lipschitz: expected a constant between 0 and 1, got {lipschitz}")
        widths = [features, *hidden, features]
        self.lipschitz, self.context_dim, self.squash = lipschitz, context_dim, squash
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.given = nn.Linear(context_dim, widths[1], bias=False) if context_dim else None
        self.sharpness = nn.Parameter(torch.full((len(hidden),), 0.5))
        self.each = lipschitz ** (1 / len(self.layers))
        if zero:
            last = self._linears()[-1]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def _linears(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def weights(self) -> list[Tensor]:
        """The matrices that x meets, each scaled so that its norm is at most lipschitz^(1/n)."""
        found = []
        for layer in self._linears():
            bound = spectral_bound(layer.weight)
            # Only ever scaled down: a map may contract more than it is allowed to expand.
            found.append(layer.weight * torch.where(bound > self.each, self.each / bound, torch.ones_like(bound)))
        return found

    def evaluated(self) -> Callable[[Tensor, Tensor | None], Tensor]:
        """The network with its matrices scaled once, for as many calls as follow at the same weights."""
        return partial(self._run, self.weights())

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._run(self.weights(), x, context)

    def _run(self, weights: Sequence[Tensor], x: Tensor, context: Tensor | None = None) -> Tensor:
        check_context(context, self.context_dim)
        h = squashed(x, self.squash)
        for i, (layer, weight) in enumerate(zip(self._linears(), weights, strict=True)):
            h = F.linear(h, weight, layer.bias)
            if i == 0 and self.given is not None:
                assert context is not None
                h = h + self.given(context)
            if i < len(weights) - 1:
                h = lip_swish(h, self.sharpness[i])
        return h

    def extra_repr(self) -> str:
        return f"lipschitz={self.lipschitz:g}, squash={self.squash}"
