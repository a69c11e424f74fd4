"""Reverse Kullback-Leibler divergence: fitting a flow to a density that is known up to a constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor, nn

from ...data.batches import Batch, Noise
from ...errors import InputError, ShapeError
from ...models.base import LatentModel, SampleModel
from ...numerics.seeds import generator_for
from ..update import Loss, Update
from .adam import AdamSettings, adam

#: Joint nats of x (rows, *event) up to a constant, (rows,); for a conditional model it is called with x and the context (rows, features).
LogDensity = Callable[..., Tensor]


class ReverseKL(nn.Module):
    """loss = mean of log q(x | c) − log density(x, c),   x = f⁻¹(z; c),  z the batch's noise from q's base.

    Its expectation is KL(q ‖ p) − log Z where density = Z · p, so −loss is a lower bound on log Z, tight where q is p. The terms are
    ``nats``, the loss, and what it is made of: ``entropy`` of q and mean ``log_density``.
    The density itself is not trained, whatever weights it has. Raises InputError for a batch without noise, ShapeError for a density of
    another shape than (rows,).
    """

    def __init__(self, model: LatentModel, log_density: LogDensity) -> None:
        super().__init__()
        self.model = model
        # In a tuple: a module that stood here by itself would be registered, and trained with the model.
        self._density = (log_density,)

    def forward(self, batch: Batch, step: int) -> Loss:
        if batch.noise is None:
            raise InputError(
                "batch: expected noise for samples, got none; make the batches with Drawn(base_noise(model), …)"
            )
        z, context = batch.noise, batch.context
        x, log_det = self.model.transform.inverse_and_log_det(z, context)
        log_q = self.model.base.log_prob(z, context) - log_det
        (log_density,) = self._density
        log_p = log_density(x) if context is None else log_density(x, context)
        if log_p.shape != log_q.shape:
            # (rows, 1) − (rows,) would be a table of all pairs, and its mean a loss that trains towards something else.
            raise ShapeError(
                f"log_density: expected shape {tuple(log_q.shape)}, one number a row, got {tuple(log_p.shape)}"
            )
        nats = (log_q - log_p).mean()
        return Loss(nats, {"nats": nats, "entropy": -log_q.mean(), "log_density": log_p.mean()})


def base_noise(model: LatentModel) -> Noise:
    """What ``reverse_kl`` consumes, drawn from the model's base: hand it to ``Drawn``, or to ``Shuffled`` where rows are contexts."""

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return model.base.sample((rows,), generator=generator)

    return draw


def reverse_kl(model: SampleModel, log_density: LogDensity, **settings: Unpack[AdamSettings]) -> list[Update]:
    """Adam on E_q[log q − log density] by samples that carry gradients; the settings and their errors are those of :func:`adam`.

        −loss = E_q[log density(x) − log q(x)] ≤ log Z

    ``log_density(x)`` gives joint nats (rows,) of x (rows, *event) up to a constant, such as log likelihood + log prior; a conditional
    model's is called with the context too. How many samples a step takes, and from which seed, is the batches' to say: with
    ``Drawn(base_noise(model), 256, seed=0)`` step s draws 256 from (seed, s), so that a resumed run sees the same.
    Flows that sample in one pass (couplings, ``iaf``) train fastest.

    A reverse KL seeks modes: q may leave out a whole one, and the bound does not say so. ``evaluation.evidence`` measures it.

    Source: Rezende & Mohamed 2015 (arXiv:1505.05770). Raises InputError for a model without latents, without inverse, with a base that is
    trained (its samples come with the batch and know nothing of its weights), or whose inverse gives samples without gradient.

    >>> import torch, bijectory
    >>> from bijectory.data.batches import Drawn
    >>> flow = bijectory.iaf(2, depth=1, hidden=(8,))
    >>> (update,) = reverse_kl(flow, lambda x: -0.5 * x.square().sum(-1))
    >>> sorted(update.loss(Drawn(base_noise(flow), 64, seed=0)(0), 0).terms)
    ['entropy', 'log_density', 'nats']
    """
    return [adam("reverse_kl", ReverseKL(_checked(model), log_density), **settings)]


def _checked(model: SampleModel) -> LatentModel:
    name = type(model).__name__
    if not isinstance(model, LatentModel):
        raise InputError(
            f"model: {name} has no map from latents to samples; a reverse KL needs one, and its exact log-det"
        )
    if not model.transform.has_inverse:
        raise InputError(f"model: the map of this {name} has no inverse, so there are no samples to train on")
    if any(parameter.requires_grad for parameter in model.base.parameters()):
        raise InputError(
            "model: its base has weights of its own, which samples drawn with the batch know nothing of; put a base flow's layers into "
            "the Chain, or hold the base fixed with model.base.requires_grad_(False)"
        )
    one = next(model.parameters(), torch.empty(0))
    context = one.new_zeros(1, model.context_dim) if model.context_dim else None
    with torch.enable_grad():
        z = base_noise(model)(1, generator_for("reverse_kl", device=one.device))
        if not model.transform.inverse(z, context).requires_grad:
            raise InputError(
                f"model: samples of this {name} carry no gradient to its weights: its inverse records none, or nothing in it is trained"
            )
    return model
