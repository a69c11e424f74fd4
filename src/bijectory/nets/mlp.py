"""Multilayer perceptrons, plain or weight-normalised."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, ShapeError
from ..numerics.products import product, quick, suits

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}


#: From the gradient of an output to those of the input and of the weights.
Pull = Callable[[Tensor], tuple[Tensor, list[Tensor]]]
Run = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, Pull]]

_threshold_backward = torch.ops.aten.threshold_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.default


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of that name, or an InputError that lists them."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def with_context(x: Tensor, context: Tensor | None, context_dim: int) -> Tensor:
    """x with the context appended: (*batch, a), (*batch, c) -> (*batch, a + c); the context broadcasts over the batch."""
    if context is None:
        if context_dim:
            raise ShapeError(f"context: expected {context_dim} features, got none")
        return x
    check_context(context, context_dim)
    return torch.cat([x, context.expand(*x.shape[:-1], context_dim)], -1)


#: Beyond about twice this many deviations a network that squashes sees its inputs as equal.
REACH = 5.0


def squashed(x: Tensor, squash: bool) -> Tensor:
    """5 · tanh(x / 5) where ``squash`` is on: nearly x inside the data, constant far outside, so that a network meets nothing new there.

    Only what the network reads is squashed; the density and its inverse read the same. A ReLU network on x itself goes on linearly
    beyond its data: at 100 deviations 16 affine couplings lost every digit of a float32 round trip (relative error 1.6e5), and with
    asinh(x) in place of x four spline couplings still lost two (1.4e-2).
    """
    return REACH * torch.tanh(x / REACH) if squash else x


def on_circle(x: Tensor) -> Tensor:
    """(cos x, sin x) of angles, (*batch, n) -> (*batch, 2n): what a network reads of them, so that nothing jumps where a turn ends."""
    return torch.cat([torch.cos(x), torch.sin(x)], -1)


def check_context_dim(context_dim: int) -> None:
    """Refuse a number of features that none can have."""
    if context_dim < 0:
        raise InputError(f"context_dim: expected 0 for none, or the number of features, got {context_dim}")


def check_context(context: Tensor | None, context_dim: int) -> None:
    """Refuse a context of another width than the network was made for, or none where one is needed."""
    got = 0 if context is None else context.shape[-1]
    if got != context_dim:
        raise ShapeError(f"context: expected {context_dim} features, got {got}")


class Linear(nn.Module):
    """y = W x + b, with W's rows w = g · v/|v| when ``weight_norm`` is on, and an optional fixed mask on W.

    Source: Salimans & Kingma 2016 (weight normalisation, arXiv:1602.07868).
    """

    def __init__(
        self, inputs: int, outputs: int, *, weight_norm: bool = False, mask: Tensor | None = None, zero: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        bound = 1 / math.sqrt(inputs) if inputs else 0.0
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        # Not part of the state: a mask follows from the architecture, and a saved one could contradict it.
        self.register_buffer("mask", None if mask is None else mask.to(self.weight.dtype), persistent=False)
        self._blocks = None if mask is None else _blocks(mask)
        self.mask: Tensor | None
        self.gain = nn.Parameter(self._norm(self.weight.detach())) if weight_norm else None
        if zero:
            nn.init.zeros_(self.weight if self.gain is None else self.gain)
            nn.init.zeros_(self.bias)

    def _norm(self, weight: Tensor) -> Tensor:
        masked = weight if self.mask is None else weight * self.mask
        squared = (masked * masked).sum(1)
        # A row whose mask is empty has norm 0 and no direction: 0/0 would be NaN for MADE's first output.
        return torch.sqrt(torch.where(squared > 0, squared, torch.ones_like(squared)))

    def effective_weight(self) -> Tensor:
        """W after mask and normalisation, (outputs, inputs)."""
        weight = self.weight if self.mask is None else self.weight * self.mask
        return weight if self.gain is None else weight * (self.gain / self._norm(self.weight)).unsqueeze(1)

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep W as it is now, mask and normalisation in it, see ``frozen``."""
        self.weight = nn.Parameter(self.effective_weight().clone(), requires_grad=False)
        self.mask = self.gain = None

    def forward(self, x: Tensor) -> Tensor:
        return _affine(x, self.effective_weight(), self.bias)

    def rows(self, h: Tensor) -> Tensor:
        """W h + b of vectors that stand side by side, (inputs, n) -> (outputs, n): a row for each unit."""
        weight, bias = self.effective_weight(), self.bias.unsqueeze(1)
        # On an accelerator a product more is a kernel more; that pieces gain anything was measured on processors alone, and of oneDNN's
        # the whole is quicker than its pieces (a compiled step of MAF: 250 a second in place of 228).
        blocks = self._blocks if h.device.type == "cpu" and not suits(weight, h, h.shape[1]) else None
        if torch.compiler.is_compiling():
            products = [product(weight[a:b, :seen], h[:seen]) for a, b, seen in blocks or [(0, len(weight), len(h))]]
            whole = products[0] if len(products) == 1 else torch.cat(products)
            # Less −b and not plus b: of a sum torch's compiler makes one addmm, which first copies the biases to a place of the product's
            # size, and then cannot join their sum to the activation's loop. Steps of spline couplings are 1.04 times as fast, of MAF 1.02.
            # In the product's dtype, as addmm has it: under autocast a wide bias would make all that follows wide.
            return whole - (-bias).to(whole.dtype)
        if quick(weight, h, h.shape[1]):
            return product(weight, h).add_(bias)
        # Not where a gradient is recorded: on the way back slices are padded with zeros again, which costs what they saved; a compiler
        # makes one loop of that and what follows.
        if blocks is None or torch.is_grad_enabled():
            return torch.addmm(bias, weight, h)
        return torch.cat([torch.addmm(bias[a:b], weight[a:b, :seen], h[:seen]) for a, b, seen in blocks])

    def plain(self) -> tuple[Tensor, Tensor] | None:
        """W and b where the layer is nothing but W x + b and no hook wants to see its call, or None."""
        # From the dictionaries themselves: by attribute the look-ups of eight couplings took 80 µs, so 45.
        held = self._parameters
        bare = type(self) is Linear and self._buffers["mask"] is None and self.gain is None
        if not bare or hooked(self):
            return None
        return cast("tuple[Tensor, Tensor]", (held["weight"], held["bias"]))


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """W x + b, (*batch, inputs) -> (*batch, outputs)."""
    if not quick(x, weight, len(weight)):
        return F.linear(x, weight, bias)
    rows = product(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight.t())
    return rows.add_(bias).reshape(*x.shape[:-1], len(weight))


#: Multiplications a vector that a further product must spare.
_SPARED = 500


def _blocks(mask: Tensor) -> list[tuple[int, int, int]] | None:
    """A mask's rows cut in pieces, (first, last, how many leading inputs they see), so that most of its empty corner is left out.

    A MADE's units stand in rising degree: its matrices are nearly triangular. Of 128 × 128, four products take 0.73 of the whole's time
    (512 vectors, one core). A compiled step of MAF (21 features, 2 × 128) is 1.07 to 1.08 times as fast with pieces that spare 500 or 700,
    1.05 with those that spare 1,000, 1.02 with those that spare 250.
    """
    outputs, inputs = mask.shape
    seen = ((mask.cpu() != 0) * torch.arange(1, inputs + 1)).amax(1).tolist() if inputs else []

    def cut(first: int, last: int) -> list[tuple[int, int, int]]:
        sees = max(seen[first:last])
        spared, at = 0, first
        left = list(itertools.accumulate(seen[first:last], max))
        right = list(itertools.accumulate(reversed(seen[first:last]), max))[::-1]
        for upper in range(1, last - first):
            found = upper * (sees - left[upper - 1]) + (last - first - upper) * (sees - right[upper])
            if found > spared:
                spared, at = found, first + upper
        return [(first, last, sees)] if spared < _SPARED else [*cut(first, at), *cut(at, last)]

    found = cut(0, outputs) if seen else []
    return found if len(found) > 1 else None


def hooked(module: nn.Module) -> bool:
    """Whether somebody watches the module's calls."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


class MLP(nn.Module):
    """A perceptron from (*batch, inputs) and a context to (*batch, *out_shape).

    ``zero`` starts the last layer at zero, so that the map it parameterises starts at its zero parameters. ``squash`` has
    it read 5·tanh(x/5), not the context, see ``squashed``; ``periodic`` has it read x as angles, by their cos and sin.

    >>> import torch
    >>> MLP(3, (2, 5), hidden=(16,))(torch.zeros(7, 3)).shape
    torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        inputs: int,
        out_shape: Sequence[int],
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        context_dim: int = 0,
        weight_norm: bool = False,
        zero: bool = True,
        squash: bool = False,
        periodic: bool = False,
    ) -> None:
        super().__init__()
        check_context_dim(context_dim)
        # In place: a layer's output is read by nobody else, and at these sizes a step waits for memory more than for arithmetic.
        self.activation = torch.relu_ if activation == "relu" else activation_named(activation)
        self.squash, self.periodic = squash, periodic
        self.context_dim = context_dim
        self.out_shape = tuple(out_shape)
        widths = [(2 if periodic else 1) * inputs + context_dim, *hidden]
        outputs = math.prod(self.out_shape)
        self.hidden_layers = nn.ModuleList(Linear(a, b, weight_norm=weight_norm) for a, b in itertools.pairwise(widths))
        self.last = Linear(widths[-1], outputs, weight_norm=weight_norm, zero=zero)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        read = on_circle(x) if self.periodic else squashed(x, self.squash)
        h = with_context(read, context, self.context_dim)
        if torch.compiler.is_compiling() and h.dim() == 2:
            return self._rows(h.t())
        for layer in self.hidden_layers:
            h = self.activation(layer(h))
        return self.last(h).unflatten(-1, self.out_shape)

    def _rows(self, h: Tensor) -> Tensor:
        """The network of vectors that stand side by side, (inputs, n) -> (n, *out_shape), each number of all outputs in a row.

        What follows reads them row by row: the compiler makes of a spline one loop over rows, and several of the transposed.
        """
        for layer in cast("list[Linear]", list(self.hidden_layers)):
            h = self.activation(layer.rows(h))
        out = self.last.rows(h)
        return out.view(*self.out_shape, out.shape[1]).movedim(-1, 0)

    def by_hand(self) -> tuple[list[Tensor], Run] | None:
        """The network with its gradient written by hand, or None where it is more than plain layers with ReLUs between them.

        Gives its weights, and a function from x (batch, inputs) and the weights to the output and the way back: from the output's
        gradient to those of x and of the weights. The output is that of ``forward``, to the last bit.
        """
        other = self.activation is not torch.relu_ or self.context_dim or self.periodic
        if type(self) is not MLP or other or hooked(self):
            return None
        weights: list[Tensor] = []
        for layer in (*self.hidden_layers, self.last):
            pair = layer.plain() if isinstance(layer, Linear) else None
            if pair is None:
                return None
            weights += pair
        return weights, self._run

    def _run(self, x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Pull]:
        bent = torch.tanh(x / REACH) if self.squash else x
        h = bent * REACH if self.squash else x
        read = [h]
        for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            h = _affine(h, weight, bias).relu_()
            read.append(h)
        out = _affine(h, weights[-2], weights[-1])

        def pull(at_out: Tensor) -> tuple[Tensor, list[Tensor]]:
            g, found = at_out.flatten(1), []
            for index in range(len(read) - 1, -1, -1):
                found += [g.sum(0), product(g.t(), read[index])]
                g = product(g, weights[2 * index])
                if index:
                    # ReLU's slope read off its value; in place, because g is this function's own.
                    _threshold_backward(g, read[index], 0, grad_input=g)
            return _tanh_backward(g, bent) if self.squash else g, found[::-1]

        return out.view(len(out), *self.out_shape), pull
