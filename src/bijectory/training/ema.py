"""Exponential moving averages of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import InputError, NonFiniteError


class EMA:
    """shadow ← d · shadow + (1 − d) · weights,   d = min(decay, (1 + n) / (10 + n)) after n updates.

    The rise of d keeps the average from remembering the random start. Source: Polyak & Juditsky 1992; the rise is TensorFlow's.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise InputError(f"decay: expected between 0 and 1, got {decay}")
        self.decay, self.count = decay, 0
        self.parameters = list(parameters)
        self.shadow = [p.detach().clone() for p in self.parameters]

    def update(self) -> None:
        """Take the weights of this step in."""
        keep = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.parameters], 1 - keep)
        self.count += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this block the model holds the average. A NonFiniteError that passes through is told whether the average is to blame."""
        self._swap()
        try:
            yield
        except NonFiniteError as error:
            # Within the block the places are exchanged: the shadow holds the weights, the parameters their average.
            if _finite(self.shadow) and not _finite(self.parameters):
                raise NonFiniteError(
                    f"{error} (the average of the weights is not finite, the weights themselves are: it took in something that they do "
                    "not hold)"
                ) from error
            raise
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, shadow in zip(self.parameters, self.shadow, strict=True):
                held = parameter.clone()
                parameter.copy_(shadow)
                shadow.copy_(held)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"count": torch.tensor(self.count), **{f"shadow.{i}": s for i, s in enumerate(self.shadow)}}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what ``tensors`` gave."""
        self.count = int(tensors["count"])
        for i, shadow in enumerate(self.shadow):
            shadow.copy_(tensors[f"shadow.{i}"])


def _finite(tensors: Iterable[Tensor]) -> bool:
    return all(bool(torch.isfinite(t.detach()).all()) for t in tensors)
