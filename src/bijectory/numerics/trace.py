"""Jacobians of functions whose rows are independent: whole, their trace, and an unbiased estimate of the trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

#: (*batch, D) -> (*batch, D), each row from the row alone.
Rowwise = Callable[[Tensor], Tensor]


def pulled(function: Rowwise, x: Tensor) -> tuple[Tensor, Rowwise]:
    """f(x), and the products vᵀJ of its Jacobian there as a function of v: each of x's shape.

    Differentiable where a graph is wanted; inside torch.func, torch.no_grad and torch.inference_mode too.
    """
    found: Any = vjp(function, x)
    value, pull = found
    return value, lambda v: pull(v)[0]


def jacobian(function: Rowwise, x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) and ∂f_i/∂x_j: (*batch, D) -> (*batch, D), (*batch, D, D).

    One evaluation and D vector-Jacobian products, as one batch of D times the rows. Differentiable, and inside torch.func too.

    >>> jacobian(lambda x: x * x, torch.tensor([3.0, 4.0]))[1]
    tensor([[6., 0.],
            [0., 8.]])
    """
    value, pull = pulled(function, x)
    size = x.shape[-1]
    basis = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, *[1] * (x.dim() - 1), size)
    return value, vmap(pull)(basis.expand(size, *x.shape)).movedim(0, -2)


def exact_trace(function: Rowwise, x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) and Σ_i ∂f_i/∂x_i: (*batch, D) -> (*batch, D), (*batch). Costs D vector-Jacobian products.

    >>> exact_trace(lambda x: x * x, torch.tensor([3.0, 4.0]))[1]
    tensor(14.)
    """
    value, whole = jacobian(function, x)
    return value, whole.diagonal(dim1=-2, dim2=-1).sum(-1)


def hutchinson(function: Rowwise, x: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) and vᵀJv for the probe v: (*batch, D), (*batch, D) -> (*batch, D), (*batch). Costs one vector-Jacobian product.

    Over probes with E[vvᵀ] = 1 its mean is the trace. Signs have the least variance of all such: 2 Σ_{i≠j} J_ij² for a symmetric J, and
    none from the diagonal. Source: Hutchinson 1989.

    >>> hutchinson(lambda x: x * x, torch.tensor([3.0, 4.0]), torch.tensor([1.0, -1.0]))[1]
    tensor(14.)
    """
    value, pull = pulled(function, x)
    return value, (pull(probe) * probe).sum(-1)


def signs(noise: Tensor) -> Tensor:
    """−1 below ½, 1 from there on: uniform noise on [0, 1) as a probe of independent signs."""
    return torch.where(noise < 0.5, -torch.ones_like(noise), torch.ones_like(noise))
