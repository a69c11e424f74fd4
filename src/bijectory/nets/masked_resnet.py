"""A masked residual network over groups of inputs: each output sees the inputs of smaller degree."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .made import hidden_degrees, made_masks
from .mlp import Linear


class MaskedResNet(nn.Module):
    """Outputs (*batch, outputs) from inputs (*batch, inputs), an output of degree d depending only on inputs of degree below d.

        h ← W x + b,   h ← h + W₂ relu(W₁ relu(h)),   y = V relu(h) + S x + c,   each matrix masked

    Many inputs may share a degree (the cos and sin of an angle, the places of a one-hot), and degree 0 is what everything may depend on.
    ``dropout`` falls on each block's inner units. The last layer and the direct connections S start at zero.

    Sources: MADE, Germain et al. 2015 (arXiv:1502.03509), whose direct connections S are; its residual form, Durkan & Nash 2019
    (arXiv:1904.05626). Differs: degrees are sorted and even, so that the mask of a hidden layer is a staircase.
    Raises InputError where there are fewer hidden units than degrees to carry.

    >>> import torch
    >>> net = MaskedResNet([1, 1, 2], [1, 2, 2, 3], hidden=16, blocks=1)
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 4])
    """

    def __init__(
        self, in_degrees: list[int], out_degrees: list[int], *, hidden: int, blocks: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        inputs, outputs = torch.tensor(in_degrees), torch.tensor(out_degrees)
        lowest = min(in_degrees, default=1)
        highest = max(out_degrees, default=1)
        if hidden < highest - lowest:
            raise InputError(
                f"hidden: expected at least {highest - lowest} units, one for each degree, got {hidden}; with fewer, some outputs could "
                "not see the inputs before them"
            )
        if highest <= lowest:
            # Nothing stands before the first: hidden units would be weights that no gradient ever reaches.
            blocks, inputs = 0, inputs[:0]
        self.inputs = len(inputs)
        degrees = hidden_degrees(hidden, highest, lowest)
        into, across, out = made_masks(inputs, [degrees, degrees], outputs)
        self.first = Linear(len(inputs), hidden, mask=into) if self.inputs else None
        self.blocks = nn.ModuleList(
            nn.ModuleList([Linear(hidden, hidden, mask=across), Linear(hidden, hidden, mask=across)])
            for _ in range(blocks)
        )
        # What the last layer reads besides the hidden units are the inputs themselves: the direct connections.
        direct = outputs[:, None] > inputs[None, :] if self.inputs else torch.zeros(len(outputs), 0, dtype=torch.bool)
        seen = torch.cat([out, direct], 1) if self.inputs else direct
        self.last = Linear(seen.shape[1], len(outputs), mask=seen, zero=True)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            return self.last.bias.expand(*x.shape[:-1], -1)
        h = self.first(x)
        for block in self.blocks:
            one, two = cast("nn.ModuleList", block)
            inner = F.dropout(torch.relu(one(torch.relu(h))), self.dropout, self.training)
            h = h + two(inner)
        return cast("Tensor", self.last(torch.cat([torch.relu(h), x], -1)))
