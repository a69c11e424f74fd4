"""Whether the numbers that are computed can be looked at."""

from __future__ import annotations

import torch


def traced() -> bool:
    """Whether code runs on stand-ins for tensors: inside a graph that is compiled or exported, under vmap, grad and jvp of torch.func.

    There a branch on values stops the trace. Checks of values are left out, and what they would refuse has to come out as NaN.
    """
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
