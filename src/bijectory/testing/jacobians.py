"""The oracle of log-dets: the Jacobian by automatic differentiation, whole, or layer by layer where it is too large."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..numerics.determinant import log_abs_det
from ..transforms.autoregressive import Autoregressive
from ..transforms.base import Chain, Inverse, Transform
from ..transforms.coupling import Coupling
from .checks import Check, as_rows, at_most, exceeds, frozen_copy, worst_row

_CHUNK = 4096  # rows of one backward pass
_WHOLE = 256  # dimensions up to which the whole Jacobian is formed at once
_LARGEST = 4096  # dimensions up to which it is formed for a single layer whose structure is unknown: 128 MiB in float64


def row_jacobian(fn: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, *, limit: int | None = None) -> Tensor:
    """∂ fn(row)_i / ∂ row_j for every row: inputs (rows, *shape) -> (rows, outputs, numel), float of the inputs' dtype.

    ``fn`` takes inputs (m, *shape) and the numbers (m,) of the rows they are, to look up what else belongs to them. Each row is
    repeated once an output, so that one backward pass gives many rows of the Jacobian; that is right because rows are
    independent, which is a law of its own. With ``limit``, that many outputs, evenly spaced, stand for all.
    """
    with torch.no_grad():
        size = fn(inputs[:1], torch.zeros(1, dtype=torch.long)).numel()
    chosen = torch.arange(size) if limit is None or size <= limit else torch.linspace(0, size - 1, limit).long()
    pairs = torch.cartesian_prod(torch.arange(len(inputs)), chosen)
    parts = []
    for part in pairs.split(max(1, _CHUNK)):
        rows, outputs = part[:, 0], part[:, 1]
        leaf = inputs[rows].detach().requires_grad_()
        with torch.enable_grad():
            total = fn(leaf, rows).reshape(len(rows), -1).gather(1, outputs[:, None]).sum()
        # What does not depend on its input at all has no graph; its derivative is zero, and no error.
        slope = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
        parts.append((torch.zeros_like(leaf) if slope is None else slope).detach().reshape(len(rows), -1))
    return torch.cat(parts).reshape(len(inputs), len(chosen), -1)


def log_det_by_jacobian(
    transform: Transform, x: Tensor, context: Tensor | None = None, *, bound: float = 1e-9, rows: int = 16
) -> Check:
    """log_det is the log absolute determinant of the autodiff Jacobian, float64.

    Up to 256 dimensions the Jacobian is formed whole. Beyond, a Chain is checked layer by layer, each by its structure (which is
    itself checked by products with random vectors): a coupling's diagonal, an autoregression's, an elementwise map's or permutation's.
    """
    t = frozen_copy(transform)
    size = x[0].numel()
    x, context = as_rows(x, context, torch.float64, rows if size <= 64 else 4 if size <= _WHOLE else 2)
    figure, note, undecided = 0.0, "", []
    for name, layer in [("whole", t)] if size <= _WHOLE else _layers(t, "map"):
        with torch.no_grad():
            z, log_det = layer.forward_and_log_det(x, context)
        expected = _log_abs_det(layer, x, context)
        if expected is None:
            undecided.append(name)
        else:
            error, row = worst_row(log_det.reshape(-1, 1), expected.reshape(-1, 1))
            if exceeds(error, figure) or not note:
                figure, note = error, f"{name}, row {row} of {len(x)}"
        x = z
    unit = "nats relative to max(1, |log-det|), float64"
    if undecided:
        return at_most(
            "log-det", figure, bound, f"{unit}; {note}; not decided for layers too large: {', '.join(undecided)}"
        )
    return at_most("log-det", figure, bound, f"{unit}; {note}")


def _layers(transform: Transform, name: str) -> list[tuple[str, Transform]]:
    """The layers of nested chains, in order, with the place each stands at."""
    if not isinstance(transform, Chain):
        return [(f"{name} ({type(transform).__name__})", transform)]
    found: list[tuple[str, Transform]] = []
    for i, part in enumerate(transform.transforms):
        assert isinstance(part, Transform)
        found += _layers(part, f"{name}.{i}")
    return found


def _log_abs_det(layer: Transform, x: Tensor, context: Tensor | None) -> Tensor | None:
    """log|det ∂z/∂x| of (rows,), found without the layer's own log-det; None where the layer is too large for what is known of it."""
    size = x[0].numel()
    if size <= _WHOLE:
        return _whole(layer, x, context)
    if isinstance(layer, Inverse):
        with torch.no_grad():
            z = layer(x, context)
        opposite = _log_abs_det(layer.transform, z, context)
        return None if opposite is None else -opposite
    if isinstance(layer, Coupling):
        by_structure = _coupling(layer, x, context)
    elif isinstance(layer, Autoregressive):
        by_structure = _autoregressive(layer, x, context)
    else:
        by_structure = _one_entry_a_column(layer, x, context)
    if by_structure is not None:
        return by_structure
    return _whole(layer, x, context) if size <= _LARGEST else None


def _whole(layer: Transform, x: Tensor, context: Tensor | None) -> Tensor:
    jacobian = row_jacobian(lambda rows, i: layer(rows, None if context is None else context[i]), x)
    return log_abs_det(jacobian)


def _products(value: Tensor, leaf: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Jᵀ1, Jᵀv and v for a random v, each (rows, numel)."""
    v = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype)
    ones = torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0]
    random = torch.autograd.grad((value * v).sum(), leaf)[0]
    return ones.flatten(1), random.flatten(1), v.flatten(1)


def diagonal(value: Tensor, leaf: Tensor) -> Tensor | None:
    """Σ log|J_ii| of (rows,) if J is diagonal, else None."""
    ones, random, v = _products(value, leaf)
    return ones.abs().log().sum(1) if torch.allclose(random, ones * v, rtol=1e-9, atol=1e-12) else None


def _coupling(layer: Coupling, x: Tensor, context: Tensor | None) -> Tensor | None:
    staying, moving = layer.partition.split(x)
    leaf = moving.detach().requires_grad_()
    with torch.enable_grad():
        same, moved = layer.partition.split(layer(layer.partition.merge(staying, leaf), context))
    return diagonal(moved, leaf) if torch.equal(same, staying) else None


def _autoregressive(layer: Autoregressive, x: Tensor, context: Tensor | None) -> Tensor | None:
    # The net's Jacobian is strictly triangular, by the law of causality, so only the elementwise slopes stand on the diagonal.
    leaf = x.detach().requires_grad_()
    with torch.no_grad():
        params = layer.net(x, context)
    with torch.enable_grad():
        z = layer.elementwise.forward(leaf, params)[0]
    return diagonal(z, leaf) if torch.equal(z.detach(), layer(x, context).detach()) else None


def _one_entry_a_column(layer: Transform, x: Tensor, context: Tensor | None) -> Tensor | None:
    """For a diagonal Jacobian whose rows may be permuted: Jᵀv / Jᵀ1 then holds the numbers of v in another order."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        z = layer(leaf, context)
    ones, random, v = _products(z, leaf)
    same = math.prod(z.shape) == x.numel() and torch.allclose(
        (random / ones).sort(1).values, v.sort(1).values, rtol=1e-9, atol=1e-12
    )
    return ones.abs().log().sum(1) if same else None
