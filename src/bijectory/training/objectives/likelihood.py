"""Maximum likelihood for models with an exact density."""

from __future__ import annotations

import math

import torch
from torch import nn

from ...data.batches import Batch
from ...errors import InputError
from ...models.base import ExactModel
from ..ema import EMA
from ..joined import Joined
from ..schedule import Schedule, constant
from ..update import Loss, Update


class NegativeLogLikelihood(nn.Module):
    """loss = −mean log p(x | c), joint nats per row."""

    def __init__(self, model: ExactModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: int) -> Loss:
        nats = -self.model.log_prob(batch.x, batch.context).mean()
        return Loss(nats, {"nats": nats})


def maximum_likelihood(
    model: ExactModel,
    *,
    rate: float = 1e-3,
    schedule: Schedule | None = None,
    clip: float | None = None,
    average: float | None = 0.999,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    accumulate: int = 1,
    compiled: bool = False,
) -> list[Update]:
    """Adam on −mean log p, with ``rate`` times ``schedule``, gradients clipped to norm ``clip``, weights averaged with ``average``.

    >>> import bijectory
    >>> [update.name for update in maximum_likelihood(bijectory.nsf(2, depth=1, hidden=(8,)))]
    ['likelihood']
    """
    if not 0 < rate < math.inf:
        raise InputError(f"rate: expected a positive learning rate, got {rate}")
    loss = NegativeLogLikelihood(model)
    joined = Joined(parameter for parameter in loss.parameters() if parameter.requires_grad)
    # fused: 1.5 times the default's speed in eager mode on the CPU, and it reads the finite flag on the device.
    optimizer = torch.optim.AdamW([joined.whole], lr=rate, betas=betas, weight_decay=weight_decay, fused=True)
    ema = None if average is None else EMA([joined.whole], average)
    return [
        Update(
            "likelihood",
            loss,
            optimizer,
            schedule or constant(),
            clip=clip,
            ema=ema,
            accumulate=accumulate,
            joined=joined,
            compiled=compiled,
        )
    ]
