"""A flow whose log-det is estimated: the map and its samples are exact, the log density is right on average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..distributions.base import Base
from ..errors import InputError, ShapeError
from ..transforms.base import Chain, DataInitialised, Inverse, Transform
from ..transforms.estimated import EstimatedLogDet
from .base import LatentEstimateModel, as_shape


class EstimatedFlow(LatentEstimateModel, DataInitialised):
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
        super().__init__()
        self.base, self.transform = base, transform
        self.event_shape, self.context_dim = base.event_shape, context_dim
        #: Uniform numbers that one draw for one row consumes.
        self.noise_size = sum(self._size(part) for part, _ in _walk(transform))
        if self.noise_size == 0:
            raise InputError(
                f"transform: the log-det of {type(transform).__name__} is exact; make a Flow, whose log_prob says so"
            )
        # Carries dtype and device, for noise that is drawn before any row is seen.
        self.register_buffer("_like", torch.zeros(()), persistent=False)
        self._like: Tensor

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
        target = self._like if like is None else like
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
        self.check_event(x)
        batch = x.shape[: x.dim() - len(self.event_shape)]
        self.check_context(context, batch)
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
        for part, backwards in _walk(self.transform):
            if isinstance(part, EstimatedLogDet) and (size := self._size(part)):
                own, used = noise[..., used : used + size], used + size
                way = part.inverse_and_estimate if backwards else part.forward_and_estimate
                x, log_det = way(x, context, own)
            else:
                x, log_det = (part.inverse_and_log_det if backwards else part.forward_and_log_det)(x, context)
            total = total + log_det
        return self.base.log_prob(x, context) + total

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Data to latent, z = f(x)."""
        self.check_event(x)
        self.check_context(context, x.shape[: x.dim() - len(self.event_shape)])
        return self.transform(x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Latent to data, x = f⁻¹(z)."""
        self.check_context(context, z.shape[: z.dim() - len(self.event_shape)])
        return self.transform.inverse(z, context)

    def latent_cdf(self, z: Tensor) -> Tensor:
        """Each latent coordinate's CDF under the base: (*batch, *event) -> (*batch, *event), values in [0, 1]."""
        return self.base.cdf(z)

    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws of shape (*shape, *context's batch, *event), exactly the model's own."""
        self.check_context(context)
        full = as_shape(shape)
        if context is not None:
            full = (*full, *context.shape[:-1])
            context = context.expand(*full, context.shape[-1])
        return self.decode(self.base.sample(full, context, generator=generator), context)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the parts that ask for it set their constants from x of shape (batch, *event)."""
        self.check_event(x)
        if isinstance(self.transform, DataInitialised):
            with torch.no_grad():
                self.transform.initialise(x, context)


def _walk(transform: Transform, backwards: bool = False) -> Iterator[tuple[Transform, bool]]:
    """The parts of nested chains and inverses in the order in which they are passed, and whether each is passed backwards."""
    if isinstance(transform, Chain):
        parts = list(transform.transforms)
        for part in reversed(parts) if backwards else parts:
            assert isinstance(part, Transform)
            yield from _walk(part, backwards)
    elif isinstance(transform, Inverse):
        yield from _walk(transform.transform, not backwards)
    else:
        yield transform, backwards
