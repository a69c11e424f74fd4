"""One monotone network for all coordinates: block neural autoregression."""

from __future__ import annotations

import itertools
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, ShapeError
from ..numerics.roots import solve_increasing
from .base import Transform

#: The bound on every log-weight: exp of a raw 89 would be infinite in float32.
_BOUND = 5.0


class _BlockLinear(nn.Module):
    """y = W h + b, W in D × D blocks of (outputs, inputs): positive on the diagonal, free below it, zero above.

    Rows are normalised to a trained length, w = e^g v/|v|, the diagonal block of v being e^raw.
    """

    def __init__(self, features: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.features, self.inputs, self.outputs = features, inputs, outputs
        self.raw = nn.Parameter(torch.randn(features * outputs, features * inputs) / math.sqrt(features * inputs))
        self.log_length = nn.Parameter(torch.zeros(features * outputs))
        self.bias = nn.Parameter((2 * torch.rand(features * outputs) - 1) / math.sqrt(features * inputs))
        row = torch.arange(features).repeat_interleave(outputs)[:, None]
        column = torch.arange(features).repeat_interleave(inputs)[None, :]
        self.register_buffer("_diagonal", row == column, persistent=False)
        self.register_buffer("_below", row > column, persistent=False)
        self._diagonal: Tensor
        self._below: Tensor

    def weights(self) -> tuple[Tensor, Tensor]:
        """W (D · outputs, D · inputs), and the logs of its diagonal blocks (D, outputs, inputs)."""
        bounded = _BOUND * torch.tanh(self.raw / _BOUND)
        v = torch.where(self._diagonal, torch.exp(bounded), torch.where(self._below, self.raw, 0.0))
        log_scale = _BOUND * torch.tanh(self.log_length / _BOUND) - 0.5 * torch.log((v * v).sum(1))
        blocks = bounded.unflatten(0, (self.features, self.outputs)).unflatten(-1, (self.features, self.inputs))
        logs = torch.diagonal(blocks, dim1=0, dim2=2).permute(2, 0, 1)
        return v * torch.exp(log_scale).unsqueeze(1), logs + log_scale.unflatten(0, (self.features, self.outputs, 1))


class BlockAutoregressive(Transform):
    """z_i = g x_i + (1 − g) f_i(x_i; x_{<i}): one masked network, its weights on the way from x_i to f_i positive.

        log|det| = Σ_i log(g + (1 − g) ∂f_i/∂x_i),   ∂f_i/∂x_i a product of positive blocks, taken in logs

    ``layers`` hidden layers of ``width`` tanh units a coordinate; 0 < g < 1 is trained, at least 0.05. The context enters the
    first layer. The inverse goes coordinate by coordinate, of each layer only the units of that coordinate, and solves an increasing
    equation for each; its gradient is implicit.
    Source: De Cao et al. 2019 (arXiv:1904.04676). Differs: the gate g is part of every map and bounded from below, because tanh alone
    maps onto an interval: latents outside it had no data, and the density no integral of one (numpyro #1655).

    >>> import torch
    >>> BlockAutoregressive(3, width=4)(torch.zeros(7, 3)).shape
    torch.Size([7, 3])
    """

    rebuilds_x = False

    _GATE = 0.05

    def __init__(self, features: int, *, width: int = 8, layers: int = 1, context_dim: int = 0) -> None:
        super().__init__()
        if min(features, width, layers) < 1:
            raise InputError(
                f"features, width, layers: expected at least 1 of each, got {features}, {width} and {layers}"
            )
        self.features, self.width, self.context_dim = features, width, context_dim
        sizes = [1, *[width] * layers, 1]
        self.layers = nn.ModuleList(_BlockLinear(features, a, b) for a, b in itertools.pairwise(sizes))
        self.context_layer = nn.Linear(context_dim, features * width, bias=False) if context_dim else None
        self.gate = nn.Parameter(torch.zeros(()))

    def _linears(self) -> list[_BlockLinear]:
        return cast("list[_BlockLinear]", list(self.layers))

    def _gate(self) -> Tensor:
        return self._GATE + (1 - self._GATE) * torch.sigmoid(self.gate)

    def _from_context(self, context: Tensor | None) -> Tensor | None:
        """What the context adds to the first layer, (*batch, D · width)."""
        got = 0 if context is None else context.shape[-1]
        if got != self.context_dim:
            raise ShapeError(f"context: expected {self.context_dim} features, got {got}")
        return None if self.context_layer is None else self.context_layer(context)

    @staticmethod
    def _through(log_jacobian: Tensor | None, log_weight: Tensor, inner: Tensor | None) -> Tensor:
        """log ∂(unit)/∂x_i one layer further, (*batch, D, outputs); ``inner`` (*batch, D, inputs) is what tanh was given."""
        if log_jacobian is None or inner is None:
            return log_weight.squeeze(-1)
        # 1 − tanh²a = 4 σ(2a) σ(−2a): from tanh itself its log would be that of 0 beyond a = 19, in float32 beyond 9.
        log_slope = math.log(4) + F.logsigmoid(2 * inner) + F.logsigmoid(-2 * inner)
        return torch.logsumexp(log_weight + (log_jacobian + log_slope).unsqueeze(-2), -1)

    def _gated(self, x: Tensor, y: Tensor, log_jacobian: Tensor) -> tuple[Tensor, Tensor]:
        gate = self._gate()
        return gate * x + (1 - gate) * y, torch.logaddexp(torch.log(gate), torch.log1p(-gate) + log_jacobian)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        added = self._from_context(context)
        h, inner, log_jacobian = x, None, None
        for layer in self._linears():
            weight, logs = layer.weights()
            if inner is not None:
                h = torch.tanh(h)
            h = F.linear(h, weight, layer.bias)
            if inner is None and added is not None:
                h = h + added
            log_jacobian = self._through(log_jacobian, logs, inner)
            inner = h.unflatten(-1, (self.features, layer.outputs))
        assert log_jacobian is not None
        z, log_slope = self._gated(x, h, log_jacobian.squeeze(-1))
        return z, log_slope.sum(-1)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        added = self._from_context(context)
        layers = [(*layer.weights(), layer) for layer in self._linears()]
        reads: list[Tensor] = [z[..., :0] for _ in layers]  # what each layer reads of the coordinates before i
        columns: list[Tensor] = []
        total: Tensor | None = None
        for i in range(self.features):
            parts: list[tuple[Tensor, Tensor, Tensor]] = []  # diagonal block, its logs, and what does not depend on x_i
            for depth, (weight, logs, layer) in enumerate(layers):
                rows = slice(i * layer.outputs, (i + 1) * layer.outputs)
                before = F.linear(reads[depth], weight[rows, : i * layer.inputs], layer.bias[rows])
                if depth == 0 and added is not None:
                    before = before + added[..., rows]
                parts.append((weight[rows, i * layer.inputs : (i + 1) * layer.inputs], logs[i], before))

            def along(
                x: Tensor, parts: list[tuple[Tensor, Tensor, Tensor]] = parts
            ) -> tuple[Tensor, Tensor, list[Tensor]]:
                h, inner, log_jacobian, read = x.unsqueeze(-1), None, None, []
                for block, logs, before in parts:
                    h = h if inner is None else torch.tanh(inner)
                    read.append(h)
                    log_jacobian = self._through(log_jacobian, logs, inner)
                    inner = F.linear(h, block) + before
                assert inner is not None
                assert log_jacobian is not None
                return *self._gated(x, inner.squeeze(-1), log_jacobian.squeeze(-1)), read

            target = z[..., i]
            x, log_slope = solve_increasing(lambda v, along=along: along(v)[:2], target, target - 1, target + 1)  # type: ignore[misc]
            reads = [torch.cat([old, new], -1) for old, new in zip(reads, along(x)[2], strict=True)]
            columns.append(x)
            total = log_slope if total is None else total + log_slope
        assert total is not None
        return torch.stack(columns, -1), -total
