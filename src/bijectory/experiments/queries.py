"""Questions to a density of named columns: draws and densities of some columns given others, and values for those that are missing.

Where the given columns come first in the model's order the answers are exact; elsewhere they are estimates by importance sampling, which
say how good they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.kinds import Column
from ..errors import InputError
from ..evaluation.likelihood import Kind
from ..models.base import ColumnModel

#: Rows in one pass of the model, which keeps a hidden layer of 256 float64 in the processor's cache: 1.6 times as fast as 16,384.
PASS = 2_048
#: Draws are made in blocks of so many, each from a pool that grows until its effective size is ``ENOUGH`` a draw, or ``MOST`` rounds are
#: made of it; and at least so many a round, since a pool of five knows little of its own weights.
BLOCK, ENOUGH, MOST, LEAST = 4_096, 4, 64, 256
#: Candidates for each gap that is filled, and draws for each density of given values.
CANDIDATES, DRAWS = 64, 256

#: What an estimate of log p(others | given) and its standard error are called.
ESTIMATED = ("log_prob_estimate", "standard_error")


class Drawn(NamedTuple):
    """Rows (n, columns), whether they are draws exactly, and otherwise of how many weighted candidates they were chosen, worth how many."""

    rows: Tensor
    kind: Kind
    candidates: int
    effective: float


class Conditional(NamedTuple):
    """log p(others | given) of each row in nats, (rows,), and, where it is an estimate, its standard errors (rows,)."""

    values: Tensor
    errors: Tensor | None


class Filled(NamedTuple):
    """Rows without gaps (draws, rows, columns); how many candidates each was chosen from, (rows,), and their effective number (rows,).

    Where a row has one candidate a draw, it is a draw exactly.
    """

    rows: Tensor
    candidates: Tensor
    effective: Tensor


def sources(columns: Sequence[Column]) -> list[int]:
    """The place of the column that each repeats, its own where it repeats none."""
    place = {column.name: i for i, column in enumerate(columns)}
    return [place[column.name if column.of is None else column.of] for column in columns]


def comes_first(model: ColumnModel, known: Tensor) -> Tensor:
    """Whether the known columns come before all others in the model's order: (*batch, columns) of bool -> (*batch).

    Copies stand for their sources, and constants, which say nothing, for nothing.
    """
    own = sources(model.columns)
    held = torch.stack([known[..., [j for j, k in enumerate(own) if k == i]].any(-1) for i in _telling(model)], -1)
    return (held[..., 1:] <= held[..., :-1]).all(-1)


def draw_given(
    model: ColumnModel,
    x: Tensor,
    known: Tensor,
    n: int,
    context: Tensor | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Drawn:
    """``n`` draws of p(others | x where ``known``): an encoded row x (columns,), known (columns,) of bool, perhaps a context (features,).

    Exact where the known columns come first. Elsewhere rows drawn column by column with the known ones held fast weigh
    w = p(known | columns before them); of a pool of them n are chosen by their weights (sampling-importance-resampling, Rubin 1988), whose
    effective size is (Σw)²/Σw² (Kong 1992). A row that weighs much is then chosen more than once.

    Raises InputError for values to which the model gives no probability.
    """
    blocks = []
    for start in range(0, n, BLOCK):
        count = min(BLOCK, n - start)
        if bool(comes_first(model, known)):
            blocks.append(_drawn_exactly(model, x, known, count, context, generator))
        else:
            blocks.append(chosen(lambda size: _pool(model, x, known, size, context, generator), count, generator))
    return together(blocks)


def together(parts: Sequence[Drawn]) -> Drawn:
    """Several draws one below the other: exact where all are."""
    exact = all(part.kind == "exact" for part in parts)
    candidates, effective = sum(part.candidates for part in parts), sum(part.effective for part in parts)
    return Drawn(torch.cat([part.rows for part in parts]), "exact" if exact else "estimate", candidates, effective)


def given_log_prob(
    model: ColumnModel,
    x: Tensor,
    known: Tensor,
    context: Tensor | None = None,
    *,
    draws: int = DRAWS,
    generator: torch.Generator | None = None,
) -> Conditional:
    """log p(others | known) = log p(all) − log p(known) of rows x (rows, columns), known (columns,) of bool, context (rows, features).

    Exact where the known columns come first. Elsewhere p(known) is the mean of ``draws`` weights a row, and the logarithm of that mean has
    the standard error sd(w) / (mean(w) √draws); it lies below log p(known) by about half of that error's square.
    """
    parts, errors = [], []
    first = bool(comes_first(model, known))
    step = PASS if first else max(1, PASS // draws)
    with torch.inference_mode():
        for start in range(0, len(x), step):
            cut = slice(start, start + step)
            given = None if context is None else context[cut]
            if first:
                # Of a copy the term is 0: counted among the others it changes nothing.
                terms = model.columns_log_prob(x[cut], given)
                parts.append(terms.masked_fill(_with_sources(model, known), 0.0).sum(-1))
                continue
            value, error = log_mean(_candidates(model, x[cut], known, given, draws, False, generator)[1])
            parts.append(model.log_prob(x[cut], given) - value)
            errors.append(error)
    return Conditional(torch.cat(parts).double(), torch.cat(errors).double() if errors else None)


def fill(
    model: ColumnModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> Filled:
    """Each row of x (rows, columns) with its NaN replaced by ``draws`` draws of p(missing | the row's others, nothing missing).

    Exact for a row of one gap whose other columns come first, of a model that is no average. Elsewhere each row's draws are chosen among
    ``CANDIDATES`` a draw of its own, by their weights.
    """
    rows = x.expand(draws, *x.shape).clone()
    gaps = torch.isnan(x)
    candidates = torch.zeros(len(x), dtype=torch.long)
    effective = torch.zeros(len(x), dtype=torch.float64)
    some = gaps.any(-1).nonzero().flatten()
    if not len(some):
        return Filled(rows, candidates, effective)
    single = _members(model, None if context is None else context[0]) == 1
    # Of several gaps each but the first weighs with the probability of not being one.
    first = comes_first(model, ~gaps[some]) & (gaps[some][:, _telling(model)].sum(-1) <= 1) & single
    with torch.inference_mode():
        for chosen, each in ((some[first], 1), (some[~first], CANDIDATES)):
            count = each * draws
            step = max(1, PASS // count)
            for start in range(0, len(chosen), step):
                here = chosen[start : start + step]
                given = None if context is None else context[here]
                found, logs = _candidates(model, x[here], ~gaps[here], given, count, True, generator)
                place = (
                    torch.arange(count).expand(len(here), count) if each == 1 else _resampled(logs, draws, generator)
                )
                rows[:, here] = found[torch.arange(len(here)), place.T]
                candidates[here], effective[here] = count, _effective(logs)
    return Filled(rows, candidates, effective)


def _telling(model: ColumnModel) -> list[int]:
    """The columns in their order, without those that hold one word and no gap."""
    return [
        i
        for i in model.order
        if not (model.columns[i].coded and len(model.columns[i].categories) == 1 and not model.columns[i].gaps)
    ]


def _with_sources(model: ColumnModel, known: Tensor) -> Tensor:
    """The known columns, and the sources of those that are copies."""
    found = known.clone()
    for i, source in enumerate(sources(model.columns)):
        found[..., source] |= known[..., i]
    return found


def _members(model: ColumnModel, context: Tensor | None) -> int:
    """How many densities the model is the average of; ``context`` is one of its contexts (features,)."""
    with torch.inference_mode():
        # A row of its own: any other could lie where a column has no density.
        return len(model.member_log_prob(model.sample((), context), context))


def _candidates(
    model: ColumnModel,
    x: Tensor,
    known: Tensor,
    context: Tensor | None,
    count: int,
    complete: bool,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """``count`` weighted rows for each: (rows, count, columns) and the logs of their weights (rows, count)."""
    wide = x.unsqueeze(-2).expand(*x.shape[:-1], count, x.shape[-1])
    mask = known.expand_as(x).unsqueeze(-2).expand_as(wide)
    given = None if context is None else context.unsqueeze(-2).expand(*x.shape[:-1], count, context.shape[-1])
    return model.sample_given(wide, mask, given, complete=complete, generator=generator)


def _drawn_exactly(
    model: ColumnModel,
    x: Tensor,
    known: Tensor,
    n: int,
    context: Tensor | None,
    generator: torch.Generator | None,
) -> Drawn:
    """All rows of a member weigh the same: of one member they are draws as they are, of several each is taken with w / max w."""
    several = _members(model, context) > 1
    size = max(n, LEAST) if several else n
    taken: list[Tensor] = []
    count, top = 0, -math.inf
    while count < n:
        rows, logs = _pool(model, x, known, size, context, generator)
        if not bool(torch.isfinite(logs).any()):
            raise _impossible()
        if not several:
            return Drawn(rows, "exact", n, float(n))
        if float(logs.max()) > top + 1e-9:
            # A member that had not been met weighs more than all before: what was taken by the lower measure is thrown away.
            taken, count, top = [], 0, float(logs.max())
        keep = torch.rand(size, generator=generator, dtype=torch.float64).log() < logs.double() - top
        taken.append(rows[keep])
        count += int(keep.sum())
    return Drawn(torch.cat(taken)[:n], "exact", n, float(n))


def chosen(pool: Callable[[int], tuple[Tensor, Tensor]], n: int, generator: torch.Generator | None = None) -> Drawn:
    """``n`` rows by their weights out of a pool that grows; ``pool`` gives so many rows (count, columns) and log weights (count,)."""
    rows: list[Tensor] = []
    weights: list[Tensor] = []
    while len(rows) < MOST:
        some, logs = pool(max(n, LEAST))
        rows.append(some)
        weights.append(logs)
        if float(_effective(torch.cat(weights))) >= ENOUGH * n:
            break
    logs = torch.cat(weights)
    if not bool(torch.isfinite(logs).any()):
        raise _impossible()
    place = _resampled(logs[None], n, generator)[0]
    place = place[torch.randperm(n, generator=generator)]
    return Drawn(torch.cat(rows)[place], "estimate", len(logs), float(_effective(logs)))


def _pool(
    model: ColumnModel,
    x: Tensor,
    known: Tensor,
    count: int,
    context: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    parts = [
        _candidates(model, x, known, context, min(PASS, count - start), False, generator)
        for start in range(0, count, PASS)
    ]
    rows, logs = (torch.cat(each) for each in zip(*parts, strict=True))
    return rows, logs


def log_mean(logs: Tensor) -> tuple[Tensor, Tensor]:
    """The log of the mean weight and its standard error, (rows, draws) -> twice (rows,)."""
    logs = logs.double()
    draws = logs.shape[-1]
    value = torch.logsumexp(logs, -1) - math.log(draws)
    relative = torch.exp(logs - value.unsqueeze(-1))
    return value, relative.std(-1) / math.sqrt(draws)


def _effective(logs: Tensor) -> Tensor:
    """(Σw)²/Σw² along the last axis."""
    share = torch.log_softmax(logs.double(), -1)
    return torch.exp(-torch.logsumexp(2 * share, -1))


def _resampled(logs: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """``n`` places of each row by their weights, (rows, pool) -> (rows, n), systematically: each as often as its share of n, within one."""
    up_to = torch.softmax(logs.double(), -1).cumsum(-1)
    start = torch.rand((len(logs), 1), generator=generator, dtype=torch.float64)
    at = (torch.arange(n, dtype=torch.float64) + start) / n * up_to[:, -1:]
    return torch.searchsorted(up_to, at, right=True).clamp_max(logs.shape[-1] - 1)


def _impossible() -> InputError:
    return InputError(
        "given: the model gives these values no probability together, so nothing can be drawn given them; correct them, or give fewer"
    )
