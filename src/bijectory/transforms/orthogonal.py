"""Rotations and reflections of vectors: maps that keep every length, so that their log-det is zero."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .base import Transform


def reflections_matrix(vectors: Tensor) -> Tensor:
    """The product Q = H_1 H_2 … H_K of the reflections H_k = I − 2 v_k v_kᵀ/|v_k|²: (K, D) -> (D, D).

        Q = I − V S⁻¹ Vᵀ,   V the unit vectors as columns,   S = ½ I + the part of VᵀV above its diagonal

    One triangular solve in place of K products (Joffrain et al. 2006, the "UT transform").
    """
    size = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    # A vector of length 0 has no direction, and 0/0 would be NaN; with 1 in its place it reflects nothing and Q stays orthogonal.
    unit = vectors / torch.where(size > 0, size, torch.ones_like(size))
    eye = torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
    inner = torch.triu(unit @ unit.T, 1) + 0.5 * eye
    folded = torch.linalg.solve_triangular(inner, unit, upper=True)
    return torch.eye(unit.shape[1], dtype=unit.dtype, device=unit.device) - unit.T @ folded


class Householder(Transform):
    """z = H_1 H_2 … H_K x, each H_k = I − 2 v_k v_kᵀ/|v_k|² a reflection with a trained normal v_k; the log-det is zero.

    D reflections make every orthogonal matrix, fewer make a part of them. The normals start random and equal two by two, so that an
    even number of reflections starts as the identity, an odd number as one reflection.
    Source: Tomczak & Welling 2016 (arXiv:1611.09630). Raises InputError for fewer than two features or no reflection.

    >>> import torch
    >>> turn, x = Householder(3, 2), torch.randn(5, 3)
    >>> torch.allclose(turn(x).norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    True
    """

    def __init__(self, features: int, reflections: int) -> None:
        super().__init__()
        if features < 2 or reflections < 1:
            raise InputError(
                f"features, reflections: expected at least 2 and at least 1, got {features} and {reflections}"
            )
        self.features, self.reflections = features, reflections
        self.vectors = nn.Parameter(torch.randn((reflections + 1) // 2, features).repeat_interleave(2, 0)[:reflections])

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.linear(x, reflections_matrix(self.vectors)), x.new_zeros(x.shape[:-1])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z @ reflections_matrix(self.vectors), z.new_zeros(z.shape[:-1])

    def extra_repr(self) -> str:
        return f"features={self.features}, reflections={self.reflections}"


class Orthogonal(Transform):
    """z = exp(W − Wᵀ) x, any rotation of D dimensions, the identity at first; the log-det is zero.

    The exponential of a skew-symmetric matrix is orthogonal and reaches every rotation; Cayley's (I − A)⁻¹(I + A) misses those by
    half a turn. Costs D³ a call, whatever the batch.
    Source: Golinski et al. 2019 (Improving normalizing flows via better orthogonal parameterizations); Lezcano-Casado &
    Martínez-Rubio 2019 (arXiv:1901.08428). Raises InputError for fewer than two features.

    >>> import torch
    >>> Orthogonal(2)(torch.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        if features < 2:
            raise InputError(f"features: expected at least 2, got {features}; one feature has nothing to turn with")
        self.features = features
        self.weight = nn.Parameter(torch.zeros(features, features))

    def _matrix(self) -> Tensor:
        return torch.linalg.matrix_exp(self.weight - self.weight.T)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.linear(x, self._matrix()), x.new_zeros(x.shape[:-1])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z @ self._matrix(), z.new_zeros(z.shape[:-1])

    def extra_repr(self) -> str:
        return f"features={self.features}"
