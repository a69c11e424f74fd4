"""Linear maps of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import Transform


class Permute(Transform):
    """z_i = x_{order[i]}; the log-det is zero.

    >>> import torch
    >>> Permute((2, 0, 1))(torch.tensor([10.0, 20.0, 30.0])).tolist()
    [30.0, 10.0, 20.0]
    """

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        if sorted(order) != list(range(len(order))):
            raise InputError(f"order: expected each of 0..{len(order) - 1} once, got {tuple(order)}")
        index = torch.tensor(list(order), dtype=torch.long)
        self.order = tuple(order)
        # Not part of the state: the order is written in the model's own code.
        self.register_buffer("_index", index, persistent=False)
        self.register_buffer("_back", torch.argsort(index), persistent=False)
        self._index: Tensor
        self._back: Tensor

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.index_select(-1, self._index), x.new_zeros(x.shape[:-1])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.index_select(-1, self._back), z.new_zeros(z.shape[:-1])

    def extra_repr(self) -> str:
        return f"order={self.order}"


class LULinear(Transform):
    """z = L U x + b, L lower triangular with unit diagonal, U upper triangular with diagonal exp(d), trained; the identity at first.

        log|det| = Σ d

    The log-diagonal is bounded, |d| ≤ ``bound``, so that no weights make the map singular. Source: Oliva et al. 2018 (TAN,
    arXiv:1801.09819); Kingma & Dhariwal 2018 (arXiv:1807.03039). Differs: no permutation, a bounded diagonal.
    """

    def __init__(self, features: int, *, bound: float = 3.0) -> None:
        super().__init__()
        if features < 2 or not 0 < bound < math.inf:
            raise InputError(
                f"features, bound: expected at least 2, and finite above 0, got {features} and {bound}; one feature alone is "
                "scaled by ActNorm"
            )
        self.features, self.bound = features, bound
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.upper = nn.Parameter(torch.zeros(features, features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.bias = nn.Parameter(torch.zeros(features))
        # Entries on the wrong side are held at zero by masks, and stay out of what training changes.
        self.register_buffer("_below", torch.ones(features, features).tril(-1), persistent=False)
        self._below: Tensor
        # L, U and the log-det where they are frozen.
        for name in ("_lower", "_upper", "_log_det"):
            self.register_buffer(name, None, persistent=False)
        self._lower: Tensor | None
        self._upper: Tensor | None
        self._log_det: Tensor | None

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep L, U and the log-det as they are now, see ``frozen``."""
        self._lower, self._upper, self._log_det = self._factors()

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        if self._lower is not None and self._upper is not None and self._log_det is not None:
            return self._lower, self._upper, self._log_det
        diagonal = self.bound * torch.tanh(self.log_diagonal / self.bound)
        lower = self.lower * self._below + torch.eye(self.features, dtype=self.lower.dtype, device=self.lower.device)
        return lower, self.upper * self._below.T + torch.diag_embed(torch.exp(diagonal)), diagonal.sum()

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper, log_det = self._factors()
        return nn.functional.linear(x, lower @ upper, self.bias), log_det.expand(x.shape[:-1])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper, log_det = self._factors()
        rows = (z - self.bias).reshape(-1, self.features)
        rows = torch.linalg.solve_triangular(lower.T, rows, upper=True, left=False, unitriangular=True)
        rows = torch.linalg.solve_triangular(upper.T, rows, upper=False, left=False)
        return rows.reshape(z.shape), -log_det.expand(z.shape[:-1])
