"""Loops whose length depends on what they find: eagerly, inside torch's graphs and inside ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch._higher_order_ops.while_loop import while_loop

#: All that one round leaves to the next: tensors, of the same shapes and dtypes in every round.
State = tuple[Tensor, ...]


def repeat(more: Callable[..., Tensor], step: Callable[..., State], state: State) -> State:
    """``state = step(*state)`` while ``more(*state)``, a tensor of one truth value, says so; no gradient flows.

    A Python loop looks at values, which torch's compiler and exporter cannot: they take the loop whole, as one node of their graph.
    Eagerly that node would first compile what it holds. Inside ``vmap`` the loop goes on for all as long as it does for one: a step must
    leave alone what needs no more of them. Where nobody can raise (``traced``), who calls this marks what did not converge, by NaN.
    """
    if torch.compiler.is_compiling():
        return while_loop(more, step, state)
    while _any(more(*state)):
        state = step(*state)
    return state


def _any(truth: Tensor) -> bool:
    while is_functorch_wrapped_tensor(truth):
        truth = get_unwrapped(truth)
    return bool(truth.any())
