"""How much of a density's constant a flow finds: the evidence bound, and the same samples weighted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import LatentModel
from ..numerics.seeds import generator_for
from .likelihood import Score


@dataclass(frozen=True)
class Evidence:
    """Two statements about log Z, and the share of the samples that the weights leave in effect.

    ``effective`` = (Σw)² / (n Σw²) is 1 where q is the density itself. Far below it ``weighted`` and its error are not to be trusted;
    near it they are, unless q misses a whole mode, of which no sample of its own tells.
    """

    bound: Score
    weighted: Score
    effective: float


def evidence(
    model: LatentModel,
    log_density: Callable[..., Tensor],
    context: Tensor | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    chunk: int = 16384,
) -> Evidence:
    """log Z = log ∫ density from samples of q = ``model``, joint nats.

        bound = E_q[log w],   weighted = log E_q[w],   w = density(x) / q(x)

    ``log_density`` is that of ``reverse_kl``; a conditional model is judged at one ``context`` (features,). Both are lower bounds on
    log Z in expectation, the second by no more than about stderr²/2 where the weights have a variance. Its error is the
    delta method's. Raises InputError for fewer than two draws.

    >>> import bijectory
    >>> flow = bijectory.realnvp(2, base="normal")  # untrained: a standard normal
    >>> found = evidence(flow, lambda x: -0.5 * x.square().sum(-1), draws=100)
    >>> round(found.bound.value, 4), round(found.effective, 4)  # log 2π
    (1.8379, 1.0)
    """
    if draws < 2:
        raise InputError(f"draws: expected at least 2, for an error, got {draws}")
    device = next(model.parameters(), torch.empty(0)).device
    parts = []
    with torch.no_grad():
        for start in range(0, draws, chunk):
            generator = generator_for(seed, "evidence", start, device=device)
            x, log_q = model.sample_and_log_prob(min(chunk, draws - start), context, generator=generator)
            log_p = log_density(x) if context is None else log_density(x, context.expand(len(x), -1))
            if log_p.shape != log_q.shape:
                raise InputError(
                    f"log_density: expected shape {tuple(log_q.shape)}, one number a row, got {tuple(log_p.shape)}"
                )
            parts.append((log_p - log_q).double().cpu())
    log_w = torch.cat(parts)
    root = math.sqrt(draws)
    scaled = torch.exp(log_w - log_w.max())
    mean = scaled.mean()
    return Evidence(
        Score("evidence_bound", "samples", log_w.mean().item(), log_w.std().item() / root, "nats", "bound"),
        Score(
            "evidence",
            "samples",
            (log_w.max() + torch.log(mean)).item(),
            (scaled.std() / mean).item() / root,
            "nats",
            "bound",
        ),
        (mean * mean / scaled.square().mean()).item(),
    )
