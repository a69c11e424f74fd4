"""A chain's gradient written by hand, for training steps that want first derivatives alone.

Autograd keeps a node for each of some 25 small operations a coupling. One node for a whole run of maps makes the eager step of eight
small couplings 1.28 times as fast (batch 256, one core): 1.17 times by leaving the nodes out, the rest by treating all weights as one. A
node for each network gained nothing, one for each coupling a tenth. Parts that know their gradient say so by ``by_hand``; the
others, and every other use of a model, go through autograd as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import local
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.nn.modules.module import _has_any_global_hook

#: From the gradients of z (batch, *event) and of log_det (batch) to those of x and of the weights.
Pull = Callable[[Tensor, Tensor], tuple[Tensor, Sequence[Tensor]]]
#: From x and the weights to z, log_det and the way back.
Run = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, Tensor, Pull]]
#: The weights that a part trains now, and what it does with them.
ByHand = tuple[Sequence[Tensor], Run]


class Laid(Protocol):
    """Weights that lie in one tensor, in this order, as ``training.joined.Joined`` lays them."""

    @property
    def whole(self) -> Tensor: ...

    @property
    def parts(self) -> Sequence[Tensor]: ...


class _Here(local):
    wanted = False
    laid: Laid | None = None


_here = _Here()


@contextmanager
def by_hand(laid: Laid | None = None) -> Iterator[None]:
    """Within this block chains take gradients written by hand, where their parts have them; those of ``laid`` go to its whole."""
    before = _here.wanted, _here.laid
    _here.wanted, _here.laid = True, laid
    try:
        yield
    finally:
        _here.wanted, _here.laid = before


def wanted(x: Tensor, context: Tensor | None) -> bool:
    """Whether a chain applied to x may take them: asked for, without context, and nobody watching every operation or call."""
    return (
        # First, so that a compiled graph contains none of the rest.
        not torch.compiler.is_compiling()
        and _here.wanted
        and context is None
        and torch.is_grad_enabled()
        # What is below has no rule for vmap, grad and jvp or for forward mode, and autocast would change dtypes on the way back.
        and not torch._C._are_functorch_transforms_active()
        and unpack_dual(x).tangent is None
        and not torch.is_autocast_enabled(x.device.type)
        # Checkpoints run the chain again on the way back, outside the block, and then expect the same nodes.
        and torch._C._autograd._top_saved_tensors_default_hooks(True) is None
        and not _has_any_global_hook()
    )


def run_by_hand(parts: Sequence[ByHand], x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """z and log_det of parts one behind the other, x (batch, features), as one node of the graph; they know no context."""
    weights = [weight for held, _ in parts for weight in held]
    counted = [(len(held), run) for held, run in parts]
    laid = _here.laid
    found: tuple[Tensor, Tensor]
    if laid is not None and _all_of(laid, weights):
        # Every weight that is an input of its own costs some 6 µs a step, together a tenth of a small flow's.
        found = _ByHand.apply(counted, weights, x, laid.whole)
    else:
        found = _ByHand.apply(counted, None, x, *weights)
    return found


def _all_of(laid: Laid, weights: Sequence[Tensor]) -> bool:
    """Whether these are all weights of ``laid``, every one trained and with no hook that waits for a gradient of its own."""
    return len(laid.parts) == len(weights) and all(
        part is weight and part.requires_grad and not part._backward_hooks and not part._post_accumulate_grad_hooks
        for part, weight in zip(laid.parts, weights, strict=True)
    )


Counted = Sequence[tuple[int, Run]]


def _run(parts: Counted, x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Pull]]:
    pulls: list[Pull] = []
    total: Tensor | None = None
    first = 0
    for count, run in parts:
        x, log_det, pull = run(x, weights[first : first + count])
        total = log_det if total is None else total + log_det
        first += count
        pulls.append(pull)
    assert total is not None
    return x, total, pulls


class _ByHand(torch.autograd.Function):
    """What the parts keep for the way back lies in their pulls; x and weights are saved, so that a change in between is noticed."""

    @staticmethod
    def forward(
        ctx: Any, parts: Counted, views: list[Tensor] | None, x: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        z, log_det, ctx.pulls = _run(parts, x, weights if views is None else views)
        ctx.parts, ctx.shapes = parts, None if views is None else [view.shape for view in views]
        ctx.save_for_backward(x, *weights)
        return z, log_det

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, None, *_again(ctx, x, weights, gradients)
        at_z, at_log_det = gradients
        pulled: list[Sequence[Tensor]] = []
        for pull in reversed(ctx.pulls):
            at_z, at_weights = pull(at_z, at_log_det)
            pulled.append(at_weights)
        found = [gradient for at_weights in reversed(pulled) for gradient in at_weights]
        if ctx.shapes is not None:
            found = [torch.cat([gradient.reshape(-1) for gradient in found])]
        return None, None, at_z, *found


def _again(ctx: Any, x: Tensor, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Iterator[Tensor | None]:
    """Where second derivatives are wanted: the pulls know none, so the run is repeated with operations that autograd sees."""
    needed = ctx.needs_input_grad[2:]
    views = weights
    if ctx.shapes is not None:
        pieces = weights[0].split([shape.numel() for shape in ctx.shapes])
        views = [piece.view(shape) for piece, shape in zip(pieces, ctx.shapes, strict=True)]
    outputs = _run(ctx.parts, x, views)[:2]
    inputs = [t for t, is_needed in zip((x, *weights), needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(outputs, inputs, gradients, create_graph=True, allow_unused=True))
    return (next(found) if is_needed else None for is_needed in needed)
