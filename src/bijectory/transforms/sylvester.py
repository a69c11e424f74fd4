"""Sylvester maps: planar maps in several orthogonal directions at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..numerics.roots import solve_increasing
from .amortised import Amortised, above_minus_one
from .base import Transform
from .orthogonal import reflections_matrix


class Sylvester(Transform):
    """z = x + Q A tanh(B Qᵀx + b), Q (D, M) with orthonormal columns, A and B (M, M) upper triangular.

        log|det| = Σ_i log(1 + (1 − tanh²(·)_i) a_ii b_ii),   a_ii = m_i/b_ii,   m_i > FLOOR − 1,   |log b_ii| ≤ 3

    M = ``terms``; one term is a planar map along the projection itself. A starts at zero: the identity. Q is a product of M
    reflections. ``net`` maps a context to offsets of (A, B, b), ``num_params`` numbers; through Q they move all dimensions.
    The inverse solves one increasing equation a term, last to first, since A and B are triangular; its gradient is implicit.
    Source: van den Berg et al. 2018 (arXiv:1803.05649). Differs: an inverse; b_ii > 0, which tanh's oddness allows without loss; Q is
    trained and does not depend on the context. Raises InputError for ``terms`` outside 1 … features.

    >>> import torch
    >>> Sylvester(3, 2).num_params(2)
    8
    """

    rebuilds_x = False

    _BOUND = 3.0

    def __init__(self, features: int, terms: int, net: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        if not 1 <= terms <= features:
            raise InputError(f"terms: expected between 1 and the {features} features, got {terms}")
        self.features, self.terms = features, terms
        # Random reflections: with Q = I, fewer terms than features would leave the last features where they are.
        # One feature has Q = 1: its reflection is −1 whatever the vector, a weight that no gradient would reach.
        self.vectors = nn.Parameter(torch.randn(terms, features)) if features > 1 else None
        start = torch.zeros(self.num_params(terms))
        start[-terms:] = torch.randn(terms)
        self.params = Amortised(start, net)
        rows, columns = torch.triu_indices(terms, terms, 1)
        self.register_buffer("_above", rows * terms + columns, persistent=False)
        self._above: Tensor

    @staticmethod
    def num_params(terms: int) -> int:
        """How many numbers a net has to give."""
        return terms * (terms - 1) + 3 * terms

    def _columns(self) -> Tensor:
        if self.vectors is None:
            return torch.ones_like(self.params.start[:1, None])
        return reflections_matrix(self.vectors)[:, : self.terms]

    def _matrices(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A and B (*batch, M, M), b and m (*batch, M)."""
        count, size = len(self._above), self.terms
        first, second, raw, scale, b = self.params(context).split([count, count, size, size, size], -1)
        m, diagonal = above_minus_one(raw), torch.exp(self._BOUND * torch.tanh(scale / self._BOUND))
        return self._triangular(first, m / diagonal), self._triangular(second, diagonal), b, m

    def _triangular(self, above: Tensor, diagonal: Tensor) -> Tensor:
        flat = above.new_zeros(*above.shape[:-1], self.terms**2).index_copy(-1, self._above, above)
        return flat.unflatten(-1, (self.terms, self.terms)) + torch.diag_embed(diagonal)

    @staticmethod
    def _log_slope(m: Tensor, inner: Tensor) -> Tensor:
        t2 = torch.tanh(inner) ** 2
        # Two terms that are not negative, instead of 1 + (1 − t²) · m, which cancels where m comes near −1.
        return torch.log(t2 + (1 - t2) * (1 + m))

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        columns = self._columns()
        a, b, shift, m = self._matrices(context)
        inner = (b @ (x @ columns).unsqueeze(-1)).squeeze(-1) + shift
        moved = (a @ torch.tanh(inner).unsqueeze(-1)).squeeze(-1)
        return x + moved @ columns.T, self._log_slope(m, inner).sum(-1)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        columns = self._columns()
        a, b, shift, m = self._matrices(context)
        targets = z @ columns
        found, bent = targets[..., :0], targets[..., :0]  # v_j and tanh(·)_j of the terms behind i, in order
        total: Tensor | None = None
        for i in range(self.terms - 1, -1, -1):
            later = slice(i + 1, self.terms)
            c = shift[..., i] + (b[..., i, later] * found).sum(-1)
            target = targets[..., i] - (a[..., i, later] * bent).sum(-1)
            outer, inner, m_i = a[..., i, i], b[..., i, i], m[..., i]

            def along(
                v: Tensor, outer: Tensor = outer, inner: Tensor = inner, c: Tensor = c, m_i: Tensor = m_i
            ) -> tuple[Tensor, Tensor]:
                return v + outer * torch.tanh(inner * v + c), self._log_slope(m_i, inner * v + c)

            reach = outer.abs().expand(target.shape)
            v, log_slope = solve_increasing(along, target, target - reach, target + reach)
            found = torch.cat([v.unsqueeze(-1), found], -1)
            bent = torch.cat([torch.tanh(inner * v + c).unsqueeze(-1), bent], -1)
            total = log_slope if total is None else total + log_slope
        assert total is not None
        moved = (a @ bent.unsqueeze(-1)).squeeze(-1)
        return z - moved @ columns.T, -total

    def extra_repr(self) -> str:
        return f"features={self.features}, terms={self.terms}"
