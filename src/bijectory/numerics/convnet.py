"""A network of convolutions as one operator of a compiled graph, where no gradient is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import products

#: Pictures that go through the network together, one in each lane of a register.
PANEL = 16


def suits(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> bool:
    """Whether the operator may take the network's place: in a graph of this package's own that records no gradient."""
    given = (x, *weights, *biases)
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    # Panels that are full, or nearly so: an empty lane takes as long as a full one.
    idle = -x.shape[0] % PANEL
    plain = not wanted and not torch._C._are_functorch_transforms_active() and idle * 8 <= x.shape[0] > 0
    return plain and products.own_kernels(given)


def convolved(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Pictures (n, C, H, W) -> (n, outputs, H, W): h ← relu(w ∗ h + b) through all layers but the last, then w ∗ h + b.

    The first and the last kernel are 3 × 3, those between them 1 × 1.
    """
    beside = [weight.permute(0, 2, 3, 1).contiguous() for weight in weights]
    return torch.ops.bijectory.convnet(x.permute(0, 2, 3, 1).contiguous(), beside, biases).permute(0, 3, 1, 2)


# Without a body: ``graphs`` has a compiled graph call ``convnet.cpp``.
_library = torch.library.Library("bijectory", "FRAGMENT")
_library.define("convnet(Tensor x, Tensor[] weights, Tensor[] biases) -> Tensor")


def _convnet_like(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    return x.new_empty(*x.shape[:3], len(weights[-1]))


_library.impl("convnet", _convnet_like, "Meta")
