"""What pictures cost when no pixel knows of any other: a figure that a model of pictures has to beat."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def histogram_rows(train: Tensor, x: Tensor, levels: int) -> Tensor:
    """Exact log probability of integers under a histogram for each place, in nats: train (n, *event), x (rows, *event) -> (rows,).

        log P(x) = Σ_d log (n_d(x_d) + √n g(x_d)) / (n + √n),   g(v) = (Σ_d n_d(v) + 1) / (n D + levels)

    n_d(v) counts how often the value v stands at place d of the training rows. What was not seen there has the share that it has anywhere:
    √n counts of that, the number in the minimax estimate of a multinomial (Trybuła 1958, Ann. Math. Stat. 29, 245).

    >>> train = torch.tensor([[0, 3], [0, 3], [0, 2], [1, 3]])
    >>> histogram_rows(train, torch.tensor([[0, 3], [3, 0]]), levels=4).exp()
    tensor([0.3735, 0.0123], dtype=torch.float64)
    """
    flat, rows = train.flatten(1).long().cpu(), x.flatten(1).long().cpu()
    n, places = flat.shape
    at = torch.arange(places) * levels
    counts = torch.bincount((flat + at).flatten(), minlength=places * levels).double().reshape(places, levels)
    anywhere = (counts.sum(0) + 1) / (n * places + levels)
    log_share = torch.log((counts + math.sqrt(n) * anywhere) / (n + math.sqrt(n))).flatten()
    return torch.stack([log_share[row + at].sum() for row in rows])
