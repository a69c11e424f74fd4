"""Where a table's model starts: at least squares, each number a line of what stands before it, with the residuals' own distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ..nets.masked_resnet import MaskedResNet
from .table_columns import Columns
from .table_heads import raw_scale

if TYPE_CHECKING:
    from .table import TableModel

#: Ridge of the least squares, in rows: as if a tenth of a row more had said that nothing depends on anything.
RIDGE = 0.1
#: Quantiles are drawn in so far towards their mean: a mixture of logistics at them is then within 0.0025 nats of a normal distribution,
#: for 2 to 8 logistics, and without within 0.02.
DRAWN_IN = 0.77
#: No logistic starts narrower than this share of the column's deviation.
NARROWEST = 0.02


def start_linear(model: TableModel, x: Tensor, context: Tensor | None = None) -> None:
    """Set the direct connections so that the places of a value's logistics follow a ridge regression on the columns before it.

        loc_k = S r(x_before, c) + b_k,   S by least squares of t, b_k the residuals' quantiles

    r is what the network reads but for the ramps, which few rows could not pay for; the network's own part stays at zero. For jointly
    Gaussian columns the model is then theirs, but for the shape of a mixture of logistics: few rows cannot teach that from a start at
    independence. ``x`` (rows, columns) and ``context`` are encoded training rows.
    """
    values, lines = model.values, len(model.values.lines)
    with torch.no_grad():
        seen = values.see(x, torch.float64)
        read = values.reads(seen).double()
        degrees, straight = [model.order.index(i) + 1 for i in values.read_columns()], _straight(values)
        if model.given is not None and context is not None:
            other = model.given.reads(model.given.see(context, torch.float64)).double()
            read, degrees = torch.cat([other, read], -1), [0] * other.shape[-1] + degrees
            straight = _straight(model.given) + straight
        degree, linear = torch.tensor(degrees), torch.tensor(straight)
        for j in range(lines):
            here = seen.present[:, j]
            before = (linear & (degree <= model.order.index(values.lines[j]))).nonzero().flatten()
            if not bool(here.any()):
                continue
            t, design = seen.t[here, j].double(), read[here][:, before]
            middle, mean = t.mean(), design.mean(0)
            slope = _ridge(design - mean, t - middle)
            rest = t - design @ slope
            places = (torch.arange(model.heads.components, dtype=torch.float64) + 0.5) / model.heads.components
            middle = rest.mean()
            loc = middle + DRAWN_IN * (torch.quantile(rest[:1_000_000], places) - middle)
            # Of equal widths, so that the mixture has the residuals' own variance.
            spread = (rest.var(correction=0) - loc.var(correction=0)).clamp_min(NARROWEST**2)
            scale = torch.log(spread.sqrt() * math.sqrt(3) / math.pi).expand(model.heads.components)
            _set(model, j, before, slope, loc, raw_scale(scale))


def _straight(values: Columns) -> list[bool]:
    """Which of the numbers that ``reads`` gives are no ramps."""
    each = values.knots.shape[1]
    return [k % each == 0 for k in range(each * len(values.lines))] + [True] * (
        len(values.read_columns()) - each * len(values.lines)
    )


def _ridge(design: Tensor, t: Tensor) -> Tensor:
    if not design.shape[1]:
        return design.new_zeros(0)
    gram = design.T @ design + RIDGE * torch.eye(design.shape[1], dtype=design.dtype)
    return torch.linalg.solve(gram, design.T @ t)


def _set(model: TableModel, j: int, before: Tensor, slope: Tensor, loc: Tensor, raw: Tensor) -> None:
    """Put the line of the j-th value into every member."""
    k = model.heads.components
    first = model.heads.state_outputs + 3 * k * j
    for one in model.nets:
        net = cast("MaskedResNet", one)
        last, columns = net.last, net.last.weight.shape[1] - net.inputs + before
        rows = torch.arange(first + k, first + 2 * k)
        last.weight[rows[:, None], columns[None, :]] = slope.to(last.weight.dtype).expand(k, -1)
        last.bias[first + k : first + 2 * k] = loc.to(last.bias.dtype)
        last.bias[first + 2 * k : first + 3 * k] = raw.to(last.bias.dtype)
