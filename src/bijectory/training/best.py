"""The weights with the best score on validation rows, kept while training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, NonFiniteError


class KeepBest:
    """An evaluator around an evaluator: passes its results on, and keeps the model's weights whenever ``metric`` is lowest so far.

    Wrap it in ``Averaged`` where the average of the weights is what is judged. A score that is not finite is never the lowest.

    Raises NonFiniteError for weights that are not finite, and in ``restore`` where no look at all gave a finite score.
    """

    def __init__(
        self, model: nn.Module, evaluator: Callable[[int], Iterable[Any]], *, metric: str = "nats", every: int
    ) -> None:
        self.model, self.evaluator, self.metric, self.every = model, evaluator, metric, every
        self.value, self.step = math.inf, 0
        #: Looks whose score was not finite.
        self.missed = 0
        self.kept = {name: t.detach().clone() for name, t in model.state_dict().items()}

    def __call__(self, step: int) -> list[Any]:
        results = list(self.evaluator(step))
        scored = [r.value for r in results if getattr(r, "name", None) == self.metric and hasattr(r, "value")]
        if not scored:
            raise InputError(f"metric: the evaluator yields no score named {self.metric!r}")
        if not math.isfinite(scored[0]):
            self._refuse_unsound(step)
            self.missed += 1
        elif scored[0] < self.value:
            self._refuse_unsound(step)
            self.value, self.step = scored[0], step
            for name, tensor in self.model.state_dict().items():
                self.kept[name].copy_(tensor)
        return results

    def _refuse_unsound(self, step: int) -> None:
        bad = [name for name, t in self.model.state_dict().items() if not bool(torch.isfinite(t).all())]
        if bad:
            raise NonFiniteError(
                f"step {step}: {bad[0]}{f' and {len(bad) - 1} more' if bad[1:] else ''} in the weights that are judged holds numbers "
                "that are not finite; lower the learning rate, or clip gradients"
            )

    def restore(self) -> None:
        """Put the best weights into the model."""
        if self.missed and self.value == math.inf:
            # The kept weights are still those before training: to hand them out as the best would be a result nobody trained.
            raise NonFiniteError(
                f"{self.metric}: none of the {self.missed} looks gave a finite number, so that no weights are the best; the rows that "
                "are judged may lie where the model's density is 0"
            )
        self.model.load_state_dict(self.kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        meta = {
            "value": torch.tensor(self.value, dtype=torch.float64),
            "step": torch.tensor(self.step),
            "missed": torch.tensor(self.missed),
        }
        return {**meta, **{f"kept.{name}": tensor for name, tensor in self.kept.items()}}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what ``tensors`` gave."""
        self.value, self.step = float(tensors["value"]), int(tensors["step"])
        # States written before this was counted have none.
        self.missed = int(tensors.get("missed", torch.tensor(0)))
        for name, tensor in self.kept.items():
            tensor.copy_(tensors[f"kept.{name}"])
