"""The same questions to any exact density of plain rows, whose columns follow no order: by importance sampling, always estimates.

What is not given is proposed by a linear regression on what is, fitted to the model's own samples, with tails of Student's t; each proposal
weighs with the model's density over that of the proposal. Fine where the model is one cloud, poor where it is several: the effective sample
size says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.columns import number
from ..data.frames import Frame
from ..distributions.student import StudentT
from ..errors import DataError, InputError, NumericError
from ..models.base import ExactModel
from ..numerics.seeds import generator_for
from .answers import Sampled, given_columns
from .queries import BLOCK, DRAWS, ESTIMATED, PASS, chosen, log_mean, together
from .use import Loaded, load

#: Samples of the model to which the regression is fitted.
FITTED = 16_384


class Proposal:
    """A density of the columns that are not ``known`` (columns,) of bool, given those that are: mean + L t, t independent of 5 degrees.

    Raises NumericError where the model's samples leave no scatter in what is to be proposed.
    """

    def __init__(self, model: ExactModel, known: Tensor, generator: torch.Generator | None = None) -> None:
        self.model, self.known = model, known
        with torch.no_grad():
            rows = model.sample(FITTED, generator=generator)
        given, other = rows[:, known], rows[:, ~known]
        self.middle, self.mean = given.mean(0), other.mean(0)
        self.slope = torch.linalg.lstsq(given - self.middle, other - self.mean).solution
        left = other - self.mean - (given - self.middle) @ self.slope
        # The t's covariance is 5/3 of this: wider than the samples, as a proposal should be.
        scale, fault = torch.linalg.cholesky_ex(left.T @ left / len(left))
        if int(fault):
            raise NumericError("given: what is to be drawn does not scatter around what is given; give fewer columns")
        self.scale, self.base = scale, StudentT((int((~known).sum()),)).to(rows)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Rows x (*batch, columns) with their other columns proposed, and log weights log p(row) − log q(others | known), (*batch)."""
        t = self.base.sample(x.shape[:-1], generator=generator)
        rows = x.clone()
        rows[..., ~self.known] = self.mean + (x[..., self.known] - self.middle) @ self.slope + t @ self.scale.T
        log_q = self.base.log_prob(t) - self.scale.diagonal().log().sum()
        flat = rows.reshape(-1, rows.shape[-1])
        with torch.no_grad():
            log_p = torch.cat([self.model.log_prob(part) for part in flat.split(PASS)])
        return rows, log_p.reshape(log_q.shape) - log_q


def sample_vector(run: Path, n: int, *, given: Mapping[str, str], seed: int = 0, recipe: Path | None = None) -> Sampled:
    """``n`` rows of a run on plain rows given values of some columns, by their weights; see `queries.draw_given`.

    Raises InputError for a run without an exact density or with a context, UnknownNameError for another column, DataError for a value that
    is no number.
    """
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    loaded, model = _loaded(run, recipe)
    known = given_columns(loaded, list(given))
    x = torch.zeros(len(known), dtype=next(model.parameters()).dtype)
    for name, text in given.items():
        value = number(text)
        if value is None or not np.isfinite(value):
            raise DataError(f"given: column {name!r}: expected a finite number, got {text!r}; write --given {name}=0.5")
        x[loaded.schema.columns.index(name)] = value
    generator = generator_for(seed, "sample")
    proposal = Proposal(model, known, generator)
    blocks = [
        chosen(lambda size: proposal.draw(x.expand(size, len(x)), generator), min(BLOCK, n - start), generator)
        for start in range(0, n, BLOCK)
    ]
    drawn = together(blocks)
    columns = tuple(drawn.rows.double().numpy().T)
    return Sampled(Frame(loaded.schema.columns, columns), *drawn[1:])


def score_vector(
    run: Path,
    values: NDArray[np.float64],
    *,
    given: Sequence[str],
    draws: int = DRAWS,
    seed: int = 0,
    recipe: Path | None = None,
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """log p(others | given) = log p(all) − log p(given) of each row (rows, columns), p(given) the mean weight of ``draws`` proposals a row.

    As (columns, values): the estimates in nats, and their standard errors.

    Raises as ``sample_vector`` does.
    """
    loaded, model = _loaded(run, recipe)
    known = given_columns(loaded, given)
    generator = generator_for(seed, "score")
    proposal = Proposal(model, known, generator)
    x = torch.from_numpy(values).to(next(model.parameters()).dtype)
    found, errors = [], []
    for rows in x.split(max(1, PASS // draws)):
        _, logs = proposal.draw(rows.unsqueeze(1).expand(len(rows), draws, -1), generator)
        value, error = log_mean(logs)
        with torch.no_grad():
            found.append(model.log_prob(rows).double() - value)
        errors.append(error)
    return ESTIMATED, torch.stack([torch.cat(found), torch.cat(errors)], 1).numpy()


def _loaded(run: Path, recipe: Path | None) -> tuple[Loaded, ExactModel]:
    loaded = load(run, recipe)
    model = loaded.model
    if not isinstance(model, ExactModel) or len(loaded.schema.event_shape) != 1 or loaded.schema.context_dim:
        raise InputError(
            f"{run}: expected a run with an exact density of rows and without a context, got {type(model).__name__}; "
            "--given is for such runs, and for those on typed tables"
        )
    return loaded, model
