"""Latents seen in the unit cube, for pictures and tests of uniformity; never stored, never inverted."""

from __future__ import annotations

from torch import Tensor

from .flow import Flow


def uniform_latents(model: Flow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """u = CDF_base(f(x)), uniform on the unit cube where the model is true: (*batch, *event) -> (*batch, *event).

    A view only: float32 rounds far points to exactly 0 or 1, so there is no way back from it.

    >>> import torch, bijectory
    >>> flow = bijectory.mixture_cdf(2)
    >>> u = uniform_latents(flow, torch.randn(5, 2))
    >>> bool(((u >= 0) & (u <= 1)).all())
    True
    """
    return model.base.cdf(model.encode(x, context))
