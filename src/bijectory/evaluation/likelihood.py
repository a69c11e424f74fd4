"""Likelihood scores: the only place where nats become bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import BoundModel, EstimateModel, ExactModel, SampleModel

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


def log_prob_rows(model: SampleModel, x: Tensor, context: Tensor | None = None, *, chunk: int = 16384) -> Tensor:
    """Joint nats of each row, float64 on the CPU: x (rows, *event) -> (rows,). Exact models only; in the model's own precision."""
    if not isinstance(model, ExactModel):
        raise InputError(f"model: expected an ExactModel, got {type(model).__name__}")
    parts = []
    with torch.inference_mode():
        for start in range(0, len(x), chunk):
            cut = slice(start, start + chunk)
            parts.append(model.log_prob(x[cut], None if context is None else context[cut]).double().cpu())
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def mean_and_stderr(values: Tensor) -> tuple[float, float]:
    """Mean over rows and its standard error (0 for a single row is refused by giving NaN)."""
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return values.mean().item(), error


def bits_per_dim(nats: float, dims: int) -> float:
    """Joint nats per row as bits per dimension: nats / (dims · log 2)."""
    return nats / (dims * math.log(2))


def likelihood_scores(
    log_prob: Tensor, dims: int, *, split: str, kind: Kind, truth: Tensor | None = None
) -> list[Score]:
    """Scores of rows whose log density is known: nats per row, bits per dimension and, against the truth, excess nats.

        nats = −mean log p,   bits/dim = nats / (dims · log 2),   excess = mean(log p_true − log p) ≈ KL(data ‖ model)

    ``log_prob`` and ``truth`` have shape (rows,), joint nats. The excess is paired row by row, so its error is far below that of nats.
    """
    nats, error = mean_and_stderr(-log_prob)
    scores = [
        Score("nats", split, nats, error, "nats", kind),
        Score("bits_per_dim", split, bits_per_dim(nats, dims), bits_per_dim(error, dims), "bits/dim", kind),
    ]
    if truth is not None:
        excess, error = mean_and_stderr(truth - log_prob)
        scores.append(Score("excess_nats", split, excess, error, "nats", kind))
    return scores


def evaluate_model(
    model: SampleModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    split: str,
    truth: Callable[[Tensor], Tensor] | None = None,
) -> list[Score]:
    """All likelihood scores of a model on the rows of one split."""
    log_prob = log_prob_rows(model, x, context)
    true = None if truth is None else truth(x.double().cpu())
    return likelihood_scores(log_prob, math.prod(model.event_shape), split=split, kind=kind_of(model), truth=true)
