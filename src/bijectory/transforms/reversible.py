"""Activations of an invertible chain, rebuilt from its output on the way back in place of being kept.

A plain backward pass keeps what every network of every part computed, so that memory grows with depth. Here one node stands for the
whole chain and keeps its input and its output. On the way back each part gives its input from its output, and its own gradient is
taken there and then: what is held at once is one part's activations, whatever the depth. A coupling calls its network once for both,
so that a step costs four thirds of a plain one in multiplications (measured: 1.35 to 1.41 times its seconds, row E of
docs/benchmarks.md). A part whose inverse is no such bargain says so (``Transform.rebuilds_x``) and keeps its input, from which it is
passed again.

Source: Gomez et al. 2017 (RevNet, arXiv:1707.04585); Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from ..errors import InputError, InverseError
from ..numerics.tracing import traced

#: What a chain keeps for the way back: all that autograd wants, or its input and output.
Memory = Literal["plain", "rebuild"]
Run = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
#: From an output, its gradient, that of the log-det and the context to the input and its gradient.
PullBack = Callable[[Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]

#: How far what is rebuilt may be from what was, |x' − x| ≤ DRIFT · |max(1, |x|)| over the batch. With networks in bfloat16, the least
#: exact that was seen, 96 couplings were off by 1.4e-3 and their gradient by 4e-3.
DRIFT = 1e-2


class Step(NamedTuple):
    """A part as it is passed, and its way back; None where its input has to be kept."""

    run: Run
    pull_back: PullBack | None


def set_memory(model: nn.Module, memory: Memory) -> None:
    """Have every chain of ``model`` keep that for its backward pass: "plain", all activations, or "rebuild", its input and output.

    A setting like ``set_sampling``'s, no part of what is saved. Values are those of a pass that records no gradient; gradients are those at
    the rebuilt activations. Of a ``glow`` over 3×32×32 with 12, 24, 48 and 96 couplings in float32 the input came back within 3, 5, 8 and
    12 times 1e-7 of its size. Its gradient was within 6e-7 or, where a ReLU lay within that of its kink, 1e-4 of the plain one, which
    itself is 2e-6 to 8e-5 from float64's. With networks in bfloat16 these were 1.4e-3 and 4e-3. Couplings that stretch and squeeze more
    lose more.

    What stays plain: maps that are no chain, the chain of an ``EstimatedFlow``, a pass under torch.compile, torch.func or forward mode.
    Weights are those that modules register. Second derivatives are refused by InputError, as is a part that draws random numbers or
    changes a buffer (dropout, batch normalisation), since its network is called once more on the way back. Where what is rebuilt is more
    than 1 % off, a processor raises InverseError, and an accelerator, which nothing may wait for, gives a gradient of NaN.

    Raises InputError for another ``memory``, and for "rebuild" where there is no chain.

    >>> import bijectory
    >>> flow = bijectory.realnvp(2, depth=2)
    >>> set_memory(flow, "rebuild")
    """
    if memory not in get_args(Memory):
        raise InputError(f"memory: expected 'plain' or 'rebuild', got {memory!r}")
    chains = [module for module in model.modules() if hasattr(type(module), "memory")]
    if memory == "rebuild" and not chains:
        raise InputError(f"model: expected a Chain somewhere in it to rebuild, got {type(model).__name__} without any")
    for chain in chains:
        chain.memory = memory  # type: ignore[assignment]


def may_rebuild() -> bool:
    """Whether a gradient is recorded, and by nobody who has no rule for it: graphs that are compiled, torch.func, forward mode."""
    return torch.is_grad_enabled() and not traced() and forward_ad._current_level < 0


def rebuilt(module: nn.Module, steps: Sequence[Step], x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """What ``steps``, the parts of ``module``, make of x, and the sum of their log-dets, as one node of the graph."""
    weights: list[Tensor] = []
    places: list[tuple[dict[str, Any], str, int]] = []
    buffers: list[Tensor] = []
    index: dict[int, int] = {}
    for part in module.modules():
        buffers += [buffer for buffer in part._buffers.values() if buffer is not None and not buffer.is_inference()]
        for name, weight in part._parameters.items():
            if weight is None:
                continue
            if id(weight) not in index:
                index[id(weight)] = len(weights)
                weights.append(weight)
            places.append((part._parameters, name, index[id(weight)]))
    before = _movable(buffers, x)
    found: tuple[Tensor, Tensor] = _Rebuilt.apply(steps, places, x, context, *weights)
    if not all(map(torch.equal, before, _movable(buffers, x))):
        raise InputError(
            "memory: a part of this chain draws random numbers or changes a buffer as it is passed (dropout, batch normalisation), "
            "and would give something else when it is passed again; put it into evaluation mode, or call set_memory(model, 'plain')"
        )
    return found


def pulled(run: Run, x: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """The value of ``run`` at x and the gradient there; those of weights and context are added to their own ``grad``."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        outputs = run(x, context)
    backward(outputs, (at_z, at_log_det))
    return outputs[0].detach(), at_leaf(x)


def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Send ``gradients`` from those of ``outputs`` that depend on anything to the leaves, where they are added to ``grad``."""
    reached = [(z, at_z) for z, at_z in zip(outputs, gradients, strict=True) if z.requires_grad]
    if reached:
        values, at_values = zip(*reached, strict=True)
        torch.autograd.backward(values, at_values)


def at_leaf(leaf: Tensor) -> Tensor:
    """The gradient that reached a leaf, 0 where none did."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


#: Where a weight is registered, and the how-manieth of the chain's weights it is.
Places = Sequence[tuple[dict[str, Any], str, int]]


class _Rebuilt(torch.autograd.Function):
    """On the way back the weights are stood in for by leaves of their own, at which gradients gather: a weight that several parts use
    has one sum, hooks of the real one run once, and weights that were only lent (``functional_call``) are those of the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, steps: Sequence[Step], places: Places, x: Tensor, context: Tensor | None, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        kind = x.device.type
        ctx.steps, ctx.places, ctx.count = steps, places, len(weights)
        ctx.narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        z, kept = x, []
        total: Tensor | None = None
        with _autocast(kind, ctx.narrow):
            for run, pull_back in steps:
                if pull_back is None:
                    kept.append(z)
                z, log_det = run(z, context)
                total = log_det if total is None else total + log_det
        assert total is not None
        # By autograd's own means, which notice where any of them is changed in between.
        ctx.save_for_backward(x, z, context, *weights, *kept)
        return z, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise InputError(
                "memory: a chain that rebuilds its activations has first derivatives alone, and this pass was asked for second ones "
                "(create_graph=True); call set_memory(model, 'plain')"
            )
        x, z, given, *rest = ctx.saved_tensors
        kept = rest[ctx.count :]
        _, needs_context, *needs = ctx.needs_input_grad[2:]
        context = None if given is None else given.detach().requires_grad_(needs_context)
        leaves = [w.detach().requires_grad_(need) for w, need in zip(rest[: ctx.count], needs, strict=True)]
        at, at_log_det = gradients
        drifts: list[Tensor] = []
        with _stood_in(ctx.places, leaves), _autocast(x.device.type, ctx.narrow):
            for run, pull_back in reversed(ctx.steps):
                if pull_back is None:
                    start = kept.pop()
                    exact, at = pulled(run, start, at, at_log_det, context)
                    drifts.append(_drift(z, exact))
                    z = start
                else:
                    z, at = pull_back(z, at, at_log_det, context)
        drifts.append(_drift(z, x))
        found = [at, None if context is None else context.grad, *(leaf.grad for leaf in leaves)]
        return None, None, *_unless_lost(found, torch.stack(drifts).amax(), may_wait=x.device.type == "cpu")


def _drift(z: Tensor, exact: Tensor) -> Tensor:
    """How far z is from what it should be, as a share of that or of ones."""
    norm = torch.linalg.vector_norm
    # An empty batch has nothing to lose, where 0/0 would be NaN.
    return norm(z - exact) / norm(exact.abs().clamp_min(1)) if exact.numel() else z.new_zeros(())


def _unless_lost(found: Sequence[Tensor | None], drift: Tensor, *, may_wait: bool) -> Sequence[Tensor | None]:
    """The gradients, if what they were taken at is what it should be; NaN if not, where the host may not wait to learn it."""
    if may_wait:
        share = drift.item()
        if share <= DRIFT:
            return found
        # What is not finite was lost in the forward pass, or is by now: the gradient says so, as a plain one would.
        if math.isfinite(share):
            raise InverseError(
                f"memory: expected what this chain rebuilds from its output within {DRIFT:.0%} of what it was, got {share:.2%}; "
                "call set_memory(model, 'plain'), or compute in float64"
            )
    poison = torch.where(drift <= DRIFT, 0.0, torch.nan)
    return [None if gradient is None else gradient + poison.to(gradient.dtype) for gradient in found]


def _movable(buffers: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """What a pass must leave as it was, if the next is to give the same: generators, and how often each buffer was written to."""
    states = [torch.tensor([buffer._version for buffer in buffers]), torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(x.device)] if x.is_cuda else states


def _autocast(kind: str, narrow: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast as it was in the forward pass, without its cache: a weight cast where no gradient is recorded would have none later."""
    if narrow is None and not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, narrow, enabled=narrow is not None, cache_enabled=False)


@contextmanager
def _stood_in(places: Places, leaves: Sequence[Tensor]) -> Iterator[None]:
    """Within this block ``leaves`` are registered where the weights are."""
    before = [registered[name] for registered, name, _ in places]
    try:
        for registered, name, index in places:
            registered[name] = leaves[index]
        yield
    finally:
        for (registered, name, _), weight in zip(places, before, strict=True):
            registered[name] = weight
