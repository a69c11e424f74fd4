"""What networks compute in. Maps and log-dets keep the model's own precision, whatever their networks do."""

from __future__ import annotations

import torch
from torch import nn


def set_precision(model: nn.Module, networks: torch.dtype | None) -> None:
    """Have every map of ``model`` ask its network in ``networks``, or with None in the model's own precision.

    What comes back is cast before the map uses it: a log-det summed in bfloat16 keeps three digits, and 3,072 of them none that count.

    >>> import bijectory
    >>> set_precision(bijectory.realnvp(2, depth=1), torch.bfloat16)
    """
    for module in model.modules():
        if hasattr(type(module), "precision"):
            module.precision = networks  # type: ignore[assignment]
