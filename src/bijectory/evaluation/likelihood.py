"""Likelihood scores: the only place where nats become bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import BoundModel, ColumnModel, EstimateModel, ExactModel, IntegerModel, SampleModel
from ..numerics.seeds import generator_for

Kind = Literal["exact", "bound", "estimate"]


@dataclass(frozen=True)
class Score:
    """A number that can be trusted: value, standard error, unit, and what kind of statement it is."""

    name: str
    split: str
    value: float
    stderr: float
    unit: str
    kind: Kind

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def kind_of(model: SampleModel) -> Kind:
    """Whether the model's numbers are exact, a bound, or an estimate; InputError for a model without a likelihood."""
    for family, kind in ((ExactModel, "exact"), (BoundModel, "bound"), (EstimateModel, "estimate")):
        if isinstance(model, family):
            return kind  # type: ignore[return-value]
    raise InputError(f"model: {type(model).__name__} has no likelihood to evaluate")


def log_prob_rows(model: SampleModel, x: Tensor, context: Tensor | None = None, *, chunk: int | None = None) -> Tensor:
    """Joint nats of each row, float64 on the CPU: x (rows, *event) -> (rows,). Exact models only; in the model's own precision."""
    if not isinstance(model, ExactModel):
        raise InputError(f"model: expected an ExactModel, got {type(model).__name__}")
    # Of a table's model, whose networks read some thirty numbers of each: 2,048 rows at once ran at 1.5 times the speed of 16,384.
    chunk = chunk or (2_048 if isinstance(model, ColumnModel) else 16_384)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(x), chunk):
            cut = slice(start, start + chunk)
            parts.append(model.log_prob(x[cut], None if context is None else context[cut]).double().cpu())
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def bound_rows(
    model: SampleModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    chunk: int | None = None,
) -> Tensor:
    """A bound on the joint nats of each row, float64 on the CPU: x (rows, *event) -> (rows,). In the model's own precision.

    With k draws log (1/k) Σ_j exp(bound with draw j), which is never looser in expectation. See ``bound_draws``.
    """
    return tightened(bound_draws(model, x, context, draws=draws, seed=seed, chunk=chunk))


def tightened(values: Tensor) -> Tensor:
    """The bound of all draws from those of each: (rows, draws) -> (rows,) (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519)."""
    return torch.logsumexp(values, 1) - math.log(values.shape[1])


def bound_draws(
    model: SampleModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    chunk: int | None = None,
) -> Tensor:
    """The one-draw bound on the joint nats of each row, draw by draw: x (rows, *event) -> (rows, draws), float64 on the CPU.

    The noise of row i comes from (seed, "score", i), so that neither the other rows nor the ``chunk`` of rows in one pass change it;
    it is float32 for every model, so that one model in two precisions is compared at the same points; and its first draws are the
    same however many ``draws`` follow, so that bounds of 1 and of k draws are paired. Raises InputError for a model without a bound
    and for rows that are not the integers it counts.
    """
    if not isinstance(model, BoundModel):
        raise InputError(f"model: expected a BoundModel, got {type(model).__name__}")
    if isinstance(model, IntegerModel):
        model.check_integers(x)
    return _draws(
        model,
        lambda rows, given, noise: model.log_prob_bound(rows, given, noise=noise)[0],
        x,
        context,
        draws,
        seed,
        chunk,
    )


def estimate_rows(
    model: SampleModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    chunk: int | None = None,
) -> Tensor:
    """An unbiased estimate of the joint nats of each row, the mean of ``draws``, float64 on the CPU: x (rows, *event) -> (rows,).

    In the model's own precision. See ``estimate_draws``.
    """
    return estimate_draws(model, x, context, draws=draws, seed=seed, chunk=chunk).mean(1)


def estimate_draws(
    model: SampleModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    chunk: int | None = None,
) -> Tensor:
    """An unbiased estimate of the joint nats of each row, draw by draw: x (rows, *event) -> (rows, draws), float64 on the CPU.

    The noise is keyed by row, as that of ``bound_draws``. Raises InputError for a model without an estimate.
    """
    if not isinstance(model, EstimateModel):
        raise InputError(f"model: expected an EstimateModel, got {type(model).__name__}")
    return _draws(
        model,
        lambda rows, given, noise: model.log_prob_estimate(rows, given, noise=noise),
        x,
        context,
        draws,
        seed,
        chunk,
    )


def bits_of_rows(model: SampleModel, x: Tensor, *, seed: int = 0, chunk: int | None = None) -> Tensor:
    """Bits per dimension of each row on its own, float64 on the CPU: x (rows, *event) -> (rows,); exact, or one draw's bound or estimate.

    All rows have the same noise, that of row 0 of ``bound_draws``: what a row costs does not depend on the rows beside it, and two rows
    are compared at the same places of their cells.
    """
    if not isinstance(model, BoundModel | EstimateModel):
        nats = log_prob_rows(model, x)
    else:
        chunk = chunk or _chunk(model)
        noise = _row_noise(model, range(1), 1, seed)[0].to(x.device)
        if isinstance(model, IntegerModel):
            model.check_integers(x)
        parts = []
        with torch.inference_mode():
            for rows in x.split(chunk):
                same = noise.expand(len(rows), *noise.shape[1:])
                if isinstance(model, BoundModel):
                    value = model.log_prob_bound(rows, noise=same)[0]
                else:
                    value = model.log_prob_estimate(rows, noise=same)
                parts.append(value.double().cpu())
        nats = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
    return -nats / (math.prod(model.event_shape) * math.log(2))


def _chunk(model: SampleModel) -> int:
    # 2¹⁸ numbers at once: 85 pictures of 32 × 32 × 3, whose 256 filters in float64 then take 180 MB a layer.
    return max(1, min(16384, 2**18 // math.prod(model.event_shape)))


def _draws(
    model: BoundModel | EstimateModel,
    value: Callable[[Tensor, Tensor | None, Tensor], Tensor],
    x: Tensor,
    context: Tensor | None,
    draws: int,
    seed: int,
    chunk: int | None,
) -> Tensor:
    """``value`` (rows, context, noise) of each row and draw, (rows, draws)."""
    chunk = chunk or _chunk(model)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(x), chunk):
            cut = slice(start, start + chunk)
            rows, given = x[cut], None if context is None else context[cut]
            noise = _row_noise(model, range(start, start + len(rows)), draws, seed).to(x.device)
            values = [value(rows, given, one).double().cpu() for one in noise]
            parts.append(torch.stack(values, 1))
    return torch.cat(parts) if parts else torch.zeros((0, draws), dtype=torch.float64)


def _row_noise(model: BoundModel | EstimateModel, rows: range, draws: int, seed: int) -> Tensor:
    """Noise (draws, rows, *noise shape), each row's from a generator of its own."""
    like, drawn = torch.zeros((), dtype=torch.float32), []
    for row in rows:
        generator = generator_for(seed, "score", row)
        # Draw by draw: asked for several at once, torch.randn gives others than one after the other.
        drawn.append(torch.stack([model.draw_noise((), generator=generator, like=like) for _ in range(draws)]))
    return torch.stack(drawn, 1)


def mean_and_stderr(values: Tensor) -> tuple[float, float]:
    """Mean over rows and its standard error (0 for a single row is refused by giving NaN)."""
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return values.mean().item(), error


def bits_per_dim(nats: float, dims: int) -> float:
    """Joint nats per row as bits per dimension: nats / (dims · log 2)."""
    return nats / (dims * math.log(2))


def likelihood_scores(
    log_prob: Tensor, dims: int, *, split: str, kind: Kind, truth: Tensor | None = None, suffix: str = ""
) -> list[Score]:
    """Scores of rows whose log density is known: nats per row, bits per dimension and, against the truth, excess nats.

        nats = −mean log p,   bits/dim = nats / (dims · log 2),   excess = mean(log p_true − log p) ≈ KL(data ‖ model)

    ``log_prob`` and ``truth`` have shape (rows,), joint nats. The excess is paired row by row, so its error is far below that of nats.
    For a bound or an estimate the errors hold the scatter of its noise too, since each row has its own. ``suffix`` ends the scores'
    names.
    """
    nats, error = mean_and_stderr(-log_prob)
    scores = [
        Score("nats" + suffix, split, nats, error, "nats", kind),
        Score("bits_per_dim" + suffix, split, bits_per_dim(nats, dims), bits_per_dim(error, dims), "bits/dim", kind),
    ]
    if truth is not None:
        excess, error = mean_and_stderr(truth - log_prob)
        scores.append(Score("excess_nats" + suffix, split, excess, error, "nats", kind))
    return scores


def evaluate_model(
    model: SampleModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    split: str,
    truth: Callable[[Tensor], Tensor] | None = None,
    draws: int = 1,
    seed: int = 0,
) -> list[Score]:
    """All likelihood scores of a model on the rows of one split.

    A bound's ``nats`` and ``bits_per_dim`` are those of one draw; with k ``draws`` the scores of k stand beside them, as
    ``nats_k_draws`` and so on, from the same noise. An estimate's are those of the mean of ``draws``, which has the same mean as one
    and a smaller error. ``draws`` and ``seed`` change nothing for an exact model.
    """
    rows = likelihood_rows(model, x, context, draws=draws, seed=seed)
    true = None if truth is None else truth(x.double().cpu())
    return scores_of_rows(model, rows, split=split, truth=true)


def likelihood_rows(
    model: SampleModel, x: Tensor, context: Tensor | None = None, *, draws: int = 1, seed: int = 0
) -> Tensor:
    """What a model says of each row: (rows, 1) exact joint nats, or (rows, draws) one-draw bounds or estimates, float64 on the CPU."""
    if isinstance(model, BoundModel):
        return bound_draws(model, x, context, draws=draws, seed=seed)
    if isinstance(model, EstimateModel):
        return estimate_draws(model, x, context, draws=draws, seed=seed)
    return log_prob_rows(model, x, context)[:, None]


def scores_of_rows(model: SampleModel, rows: Tensor, *, split: str, truth: Tensor | None = None) -> list[Score]:
    """The scores of what ``likelihood_rows`` gave; ``truth`` (rows,) is the exact log density."""
    dims, kind = math.prod(model.event_shape), kind_of(model)
    if kind == "estimate":
        # Unbiased, one draw or many: the mean of all is the one score worth giving, where a bound's draws give one beside another.
        rows = rows.mean(1, keepdim=True)
    scores = likelihood_scores(rows[:, 0], dims, split=split, kind=kind, truth=truth)
    if (draws := rows.shape[1]) > 1:
        suffix = f"_{draws}_draws"
        scores += likelihood_scores(tightened(rows), dims, split=split, kind=kind, truth=truth, suffix=suffix)
    return scores
