"""Whether the numbers that are computed can be looked at, and graphs that are entered without looking at the model."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

import torch


def traced() -> bool:
    """Whether code runs on stand-ins for tensors: inside a graph that is compiled or exported, under vmap, grad and jvp of torch.func.

    There a branch on values stops the trace. Checks of values are left out, and what they would refuse has to come out as NaN.
    """
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def with_own_code(method: Any) -> MethodType:
    """A bound method as a copy with a code object of its own.

    torch files graphs under the function's code. Where nothing that is watched tells two models apart, with one code for all the next
    model whose weights and rows have the same shapes was answered by the first one's graph.
    """
    whole = method.__func__
    own = FunctionType(
        whole.__code__.replace(), whole.__globals__, whole.__name__, whole.__defaults__, whole.__closure__
    )
    own.__kwdefaults__ = whole.__kwdefaults__
    return MethodType(own, method.__self__)


def inside_self(guard: Any) -> bool:
    """Whether what a graph wants tested before it is entered hangs on the object whose method was compiled."""
    # torch names it by its path, self.update.loss… or L['self'].update.loss… depending on its version
    return str(guard.name).split(".")[0] in ("self", "L['self']")
