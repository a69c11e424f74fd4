"""Linear maps of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
