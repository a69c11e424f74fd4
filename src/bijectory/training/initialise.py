"""The explicit pass that sets data-dependent constants before training."""

from __future__ import annotations

from torch import Tensor

from ..models.base import SampleModel
from ..transforms.base import DataInitialised


def initialise(model: SampleModel, x: Tensor, context: Tensor | None = None) -> None:
    """Let every part of ``model`` that asks for it (Standardise, ActNorm) set its constants from x, of shape (rows, *event).

    Call it once, before training, with the training rows or a large sample of them; a model without such parts is left as it is.
    It never happens as a side effect of a forward pass or of loading. Raises InputError where a column is constant.

    >>> import torch, bijectory
    >>> flow = bijectory.nsf(2, depth=2, hidden=(8,))
    >>> bijectory.initialise(flow, 5 + 3 * torch.randn(1000, 2))
    >>> flow.transform.transforms[0].affine.loc.round()
    tensor([5., 5.])
    """
    if isinstance(model, DataInitialised):
        model.initialise(x, context)
