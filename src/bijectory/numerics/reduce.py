"""Sums over event dimensions, so that a log-det always has the batch shape."""

from __future__ import annotations

from torch import Tensor


def sum_event(values: Tensor, event_dim: int) -> Tensor:
    """Sum the last ``event_dim`` dimensions: (*batch, *event) -> (*batch).

    >>> import torch
    >>> sum_event(torch.ones(2, 3, 4), 2).tolist()
    [12.0, 12.0]
    """
    return values.sum(tuple(range(-event_dim, 0))) if event_dim else values
