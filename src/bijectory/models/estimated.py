"""A flow whose log-det is estimated: the map and its samples are exact, the log density is right on average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..distributions.base import Base
from ..errors import InputError, ShapeError
from ..transforms.base import Chain, Inverse, Transform
from ..transforms.embedded import Embedded
from ..transforms.estimated import EstimatedLogDet
from .base import LatentEstimateModel
from .pushforward import Pushforward


class EstimatedFlow(Pushforward, LatentEstimateModel):
    """log p(x | c) = log p_base(f(x; c)) + E[Σ_i estimate_i(noise_i)], over the parts f_i of f, each unbiased for its own log-det.

    ``transform`` is a Chain, or a part of one, in which some parts estimate: ``Continuous`` with a Hutchinson trace, ``Residual`` with a
    random series. Noise is uniform on [0, 1), (*batch, noise_size): each estimating part consumes the next so many numbers of it.
    Encoding, decoding and samples are exact, and need no noise.

    Raises InputError for a transform that is exact (it is a Flow's), or one that neither is exact nor says what it estimates.

    >>> import torch
    >>> from bijectory import LipschitzMLP, Normal, Residual
    >>> flow = EstimatedFlow(Normal((4,)), Residual(LipschitzMLP(4), log_det="estimate"))
    >>> flow.log_prob_estimate(torch.zeros(5, 4), draws=3).shape
    torch.Size([5])
    """

    def __init__(self, base: Base, transform: Transform, *, context_dim: int = 0) -> None:
        super().__init__(base, transform, context_dim=context_dim)
        #: Uniform numbers that one draw for one row consumes.
        self.noise_size = sum(self._size(part) for part, _, _ in _walk(transform, None))
        if self.noise_size == 0:
            raise InputError(
                f"transform: the log-det of {type(transform).__name__} is exact; make a Flow, whose log_prob says so"
            )

    def _size(self, part: Transform) -> int:
        if isinstance(part, EstimatedLogDet):
            return part.noise_size(math.prod(self.event_shape))
        if not part.exact_log_det:
            raise InputError(
                f"transform: {type(part).__name__} has no exact log-det, and does not say what noise it consumes"
            )
        return 0

    def draw_noise(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, like: Tensor | None = None
    ) -> Tensor:
        """Uniform noise on [0, 1) of shape (*shape, noise_size), drawn where the generator lives and brought to the device asked for."""
        target = self.base.like if like is None else like
        source = target.device if generator is None else generator.device
        noise = torch.rand((*shape, self.noise_size), generator=generator, dtype=target.dtype, device=source)
        return noise.to(target.device)

    def log_prob_estimate(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        draws: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The mean of ``draws`` unbiased estimates of the joint log density in nats: (*batch, *event) -> (*batch).

        ``noise`` has shape (draws, *batch, noise_size), for one draw also (*batch, noise_size). The map is passed through once a draw.
        Raises ShapeError for an x, context or noise of another shape, InputError for fewer than one draw.
        """
        batch = self.check_rows(x, context)
        if draws < 1:
            raise InputError(f"draws: expected at least one, got {draws}")
        if noise is None:
            noise = self.draw_noise((draws, *batch), generator=generator, like=x)
        elif draws == 1 and noise.dim() == len(batch) + 1:
            noise = noise[None]
        if noise.shape != (draws, *batch, self.noise_size):
            raise ShapeError(f"noise: expected shape {(draws, *batch, self.noise_size)}, got {tuple(noise.shape)}")
        values = [self._one(x, context, one) for one in noise.unbind(0)]
        return values[0] if draws == 1 else torch.stack(values).mean(0)

    def _one(self, x: Tensor, context: Tensor | None, noise: Tensor) -> Tensor:
        total, used = torch.zeros(x.shape[: x.dim() - len(self.event_shape)], dtype=x.dtype, device=x.device), 0
        for part, given, backwards in _walk(self.transform, context):
            if isinstance(part, EstimatedLogDet) and (size := self._size(part)):
                own, used = noise[..., used : used + size], used + size
                way = part.inverse_and_estimate if backwards else part.forward_and_estimate
                x, log_det = way(x, given, own)
            else:
                x, log_det = (part.inverse_and_log_det if backwards else part.forward_and_log_det)(x, given)
            total = total + log_det
        return self.base.log_prob(x, context) + total


def _walk(
    transform: Transform, context: Tensor | None, backwards: bool = False
) -> Iterator[tuple[Transform, Tensor | None, bool]]:
    """The parts of nested chains, inverses and embedded maps in the order in which they are passed: each with the context that it reads,
    and whether it is passed backwards."""
    if isinstance(transform, Chain):
        parts = list(transform.transforms)
        for part in reversed(parts) if backwards else parts:
            assert isinstance(part, Transform)
            yield from _walk(part, context, backwards)
    elif isinstance(transform, Inverse):
        yield from _walk(transform.transform, context, not backwards)
    elif isinstance(transform, Embedded):
        yield from _walk(transform.transform, transform.embedded(context), backwards)
    else:
        yield transform, context, backwards
