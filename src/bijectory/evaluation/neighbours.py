"""The training picture next to another picture, exactly: what tells samples from copies."""

from __future__ import annotations

import torch
from torch import Tensor

#: Training pictures that are compared at once, and candidates whose distance is then computed exactly.
BLOCK, CANDIDATES = 4096, 4


def nearest(x: Tensor, train: Tensor, *, flips: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The training picture nearest to each x: Euclidean distance in levels, float64; its row; whether it had to be mirrored; (n,) each.

    x (n, *event), train (rows, *event), integers. ``flips`` admits mirrored training pictures too. A product of matrices finds a few
    candidates, whose distances are then computed in integers: rounding decides nothing and no distance is off.
    """
    queries = torch.cat([x, x.flip(-1)]) if flips else x
    queries = queries.to(train.device)
    flat = queries.flatten(1)
    # Around the middle of the range the products are smallest, and with them what float32 rounds away.
    middle = float(train[:BLOCK].float().mean())
    centred = flat.float() - middle
    best = torch.full((len(flat), CANDIDATES), torch.inf, device=train.device)
    rows = torch.zeros((len(flat), CANDIDATES), dtype=torch.long, device=train.device)
    with torch.inference_mode():
        for start in range(0, len(train), BLOCK):
            block = train[start : start + BLOCK].flatten(1).float() - middle
            # ‖q − t‖² without ‖q‖², which is the same for all t
            squares = block.square().sum(1) - 2 * (centred @ block.T)
            few = squares.topk(min(CANDIDATES, len(block)), 1, largest=False)
            best, order = torch.cat([best, few.values], 1).topk(CANDIDATES, 1, largest=False)
            rows = torch.cat([rows, few.indices + start], 1).gather(1, order)
        exact = torch.stack(
            [(train[rows[:, i]].flatten(1).long() - flat.long()).square().sum(1) for i in range(CANDIDATES)], 1
        )
        least, which = exact.min(1)
    row = rows.gather(1, which[:, None])[:, 0]
    distance, row = least.double().sqrt().cpu(), row.cpu()
    if not flips:
        return distance, row, torch.zeros(len(x), dtype=torch.bool)
    plain, turned = distance.chunk(2)
    mirrored = turned < plain
    return torch.minimum(plain, turned), torch.where(mirrored, row[len(x) :], row[: len(x)]), mirrored
