"""The weights with the best score on validation rows, kept while training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError


class KeepBest:
    """An evaluator around an evaluator: passes its results on, and keeps the model's weights whenever ``metric`` is lowest so far.

    Wrap it in ``Averaged`` where the average of the weights is what is judged.
    """

    def __init__(
        self, model: nn.Module, evaluator: Callable[[int], Iterable[Any]], *, metric: str = "nats", every: int
    ) -> None:
        self.model, self.evaluator, self.metric, self.every = model, evaluator, metric, every
        self.value, self.step = math.inf, 0
        self.kept = {name: t.detach().clone() for name, t in model.state_dict().items()}

    def __call__(self, step: int) -> list[Any]:
        results = list(self.evaluator(step))
        scored = [r.value for r in results if getattr(r, "name", None) == self.metric and hasattr(r, "value")]
        if not scored:
            raise InputError(f"metric: the evaluator yields no score named {self.metric!r}")
        if scored[0] < self.value:
            self.value, self.step = scored[0], step
            for name, tensor in self.model.state_dict().items():
                self.kept[name].copy_(tensor)
        return results

    def restore(self) -> None:
        """Put the best weights into the model."""
        self.model.load_state_dict(self.kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        meta = {"value": torch.tensor(self.value, dtype=torch.float64), "step": torch.tensor(self.step)}
        return {**meta, **{f"kept.{name}": tensor for name, tensor in self.kept.items()}}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what ``tensors`` gave."""
        self.value, self.step = float(tensors["value"]), int(tensors["step"])
        for name, tensor in self.kept.items():
            tensor.copy_(tensors[f"kept.{name}"])
