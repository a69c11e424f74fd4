"""Angles: numbers that are the same a whole turn later."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def wrap(angle: Tensor) -> Tensor:
    """The same angle in [−π, π), elementwise; one that lies there already comes back as it is.

    >>> wrap(torch.tensor([1.0, math.pi + 0.5, -7.0])).tolist()
    [1.0, -2.6415927410125732, -0.7168145179748535]
    """
    turned = angle - 2 * math.pi * torch.floor((angle + math.pi) / (2 * math.pi))
    turned = torch.where((angle >= -math.pi) & (angle < math.pi), angle, turned)
    # Rounding leaves some beside the interval by their last bit: −π − 1e-7 in float32 gives π, which is −π's own point.
    return torch.where((turned >= math.pi) | (turned < -math.pi), torch.full_like(turned, -math.pi), turned)
