"""Determinants of batches of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

#: Matrices of this size and more are factored one by one.
LARGE = 128


def log_abs_det(matrices: Tensor) -> Tensor:
    """log|det| of each matrix: (*batch, n, n) -> (*batch).

    Large ones one by one: MKL's threaded factorisation of several matrices of 160 and more rows at once is wrong by tens of nats and says
    so on the standard error stream only (torch 2.13.0, CPU, two threads: "Parameter 6 was incorrect on entry to DLASWP").

    >>> log_abs_det(2 * torch.eye(3).expand(5, 3, 3)).shape
    torch.Size([5])
    """
    if matrices.dim() == 2 or matrices.shape[-1] < LARGE:
        return torch.linalg.slogdet(matrices).logabsdet
    flat = matrices.flatten(0, -3)
    if not len(flat):
        return matrices.new_zeros(matrices.shape[:-2])
    return torch.stack([torch.linalg.slogdet(one).logabsdet for one in flat]).reshape(matrices.shape[:-2])
