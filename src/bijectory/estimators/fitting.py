"""Training of an estimator's model: rows made canonical, members stopped by rows of their own, no run on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.batches import Shuffled
from ..data.kinds import Column
from ..data.splits import Rows
from ..evaluation.likelihood import Score, log_prob_rows
from ..experiments.auto import TableSize
from ..models.table import TableModel
from ..numerics.seeds import generator_for, seed_for
from ..training.best import KeepBest
from ..training.fit import Averaged, Budget, fit
from ..training.objectives.members import maximum_members_likelihood
from ..training.schedule import warmup_cosine

#: So many distinct rows and more hold some out to stop by; fewer cannot spare any.
SPARED = 40
#: The share of the rows that each member holds out, and the most of them: a look costs as much as a step on as many.
HELD, MOST_HELD = 0.15, 5_000
#: Looks at the held rows, and how many of them without a new best end a member's training.
LOOKS, PATIENCE = 40, 8
#: Weights are averaged over about this share of the steps.
AVERAGED = 0.05


def canonical(x: NDArray[np.float64], weights: NDArray[np.float64], context: NDArray[np.float64] | None = None) -> Rows:
    """Distinct rows in one order, each with the sum of its weights (all positive), brought to mean 1.

    So that a row given twice and one of weight 2 are the same to all that comes after, held-out rows and batches included.
    """
    rows = (x if context is None else np.concatenate([context, x], 1)) + 0.0  # −0 is 0
    # NaN equals nothing, itself neither; no value of a column is infinite.
    found, place = np.unique(np.where(np.isnan(rows), np.inf, rows), axis=0, return_inverse=True)
    total = np.bincount(place.reshape(-1), weights=weights, minlength=len(found))
    distinct = torch.from_numpy(np.where(np.isinf(found), np.nan, found))
    given = 0 if context is None else context.shape[1]
    return Rows(
        distinct[:, given:],
        None if context is None else distinct[:, :given],
        weights=torch.from_numpy(total / total.mean()).float(),
    )


def repeats(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many rows each row stands for while kinds are found: its weight, where all are whole numbers, else one, or none for weight 0."""
    whole = bool((weights == np.rint(weights)).all()) and weights.sum() <= 100 * len(weights)
    return (weights if whole else weights > 0).astype(np.int64)


class Held:
    """An evaluator: the mean −log p of held rows by their weights, named ``nats``."""

    def __init__(self, model: TableModel, rows: Rows, every: int) -> None:
        self.model, self.rows, self.every = model, rows, every

    def __call__(self, step: int) -> Iterator[Score]:
        self.model.eval()
        nats = -log_prob_rows(self.model, self.rows.x, self.rows.context)
        weights = torch.ones_like(nats) if self.rows.weights is None else self.rows.weights.double()
        yield Score("nats", "validation", float((nats * weights).sum() / weights.sum()), 0.0, "nats", "exact")
        self.model.train()


def train_table(
    columns: Sequence[Column],
    rows: Rows,
    size: TableSize,
    *,
    context_columns: Sequence[Column] = (),
    seed: int,
) -> tuple[TableModel, int]:
    """A model of canonical rows, in float64 and ready to be asked, and the steps that it took.

    Each of its ``size.members`` networks trains on its own and keeps the weights that say most of a part of the rows that it never saw, a
    different one for each: together they have seen all. Global random numbers are left as they were.
    """
    steps = 0
    with torch.random.fork_rng(devices=[]):
        model = made(columns, context_columns, size, size.members)
        model.initialise(rows.x, rows.context)
        order = torch.randperm(len(rows), generator=generator_for(seed, "held"))
        # Where all columns are constant there is nothing to learn.
        for member in range(size.members if model.values.stated or model.values.valued else 0):
            torch.manual_seed(seed_for(seed, "member", member))
            alone = made(columns, context_columns, size, 1)
            alone.initialise(rows.x, rows.context)
            steps += _train(alone, rows, _held(order, member, size.members), size, seed + member)
            model.nets[member].load_state_dict(alone.nets[0].state_dict())
    return model.double().eval(), steps


def made(columns: Sequence[Column], context: Sequence[Column], size: TableSize, members: int) -> TableModel:
    """A model of this size, untrained; no narrower than its columns need."""
    degrees = len(columns) + (1 if context else 0)
    return TableModel(
        columns,
        context_columns=context,
        hidden=max(size.hidden, degrees),
        blocks=size.blocks,
        components=size.components,
        knots=size.knots,
        members=members,
        dropout=size.dropout,
    )


def _held(order: Tensor, member: int, members: int) -> Tensor:
    """The rows that a member holds out: the member-th piece of the order, so that members hold different ones while there are enough."""
    if len(order) < SPARED:
        return order[:0]
    size = min(MOST_HELD, max(1, round(HELD * len(order))))
    start = member * len(order) // members
    return torch.cat([order, order])[start : start + size]


def _train(model: TableModel, rows: Rows, held: Tensor, size: TableSize, seed: int) -> int:
    seen = torch.ones(len(rows), dtype=torch.bool)
    seen[held] = False
    train = rows.select(seen)
    updates = maximum_members_likelihood(
        model,
        rate=size.rate,
        schedule=warmup_cosine(size.steps, warmup=min(100, size.steps // 10)),
        clip=5.0,
        weight_decay=size.weight_decay,
        average=max(0.5, 1 - 1 / (1 + AVERAGED * size.steps)),
    )
    # Too few rows to spare any: those that it trains on say which weights are the best, and the steps alone keep it from too much.
    judged = rows.select(held) if len(held) else train
    every = max(5, size.steps // LOOKS)
    best = KeepBest(model, Held(model, judged, every), every=every)
    best(0)  # the start at least squares may be the best that so few rows allow
    steps = 0

    def enough() -> str | None:
        nonlocal steps
        steps += 1
        return "held rows" if steps - best.step > PATIENCE * every else None

    model.train()
    batch = min(len(train), size.batch)
    state = fit(
        updates,
        Shuffled(train, batch, seed),
        budget=Budget(steps=size.steps, batch=batch, log_every=size.steps + 1),
        evaluators=[Averaged(updates, best)],
        stop=enough,
    )
    best.restore()
    return state.step
