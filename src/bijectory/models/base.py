"""What a number from a model means: exact, a bound, an estimate, or none at all."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data.kinds import Column
from ..distributions.base import Base
from ..errors import InputError, ShapeError
from ..transforms.base import Transform


def as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """An int or a sequence of ints as a shape; InputError for anything else."""
    found = (shape,) if isinstance(shape, int) else tuple(shape) if isinstance(shape, Sequence) else None
    if found is None or not all(isinstance(size, int) for size in found):
        raise InputError(f"shape: expected an int or a sequence of ints, got {shape!r}")
    return found


def _check_tensor(value: object, name: str) -> None:
    if not isinstance(value, Tensor):
        raise InputError(
            f"{name}: expected a tensor, got {type(value).__name__}; pass torch.as_tensor({name}) in the model's dtype"
        )


def check_dtype(value: Tensor, name: str, dtype: torch.dtype) -> None:
    """Refuse numbers of another dtype than the model's.

    A spline's floor would promote them and a network's first layer refuse them, so that the same call gave float64 from one flow and
    torch's own complaint of two matrices from another; and an answer in float64 from weights in float32 has float32's digits.
    """
    if value.dtype != dtype:
        raise InputError(
            f"{name}: expected {dtype}, the model's, got {value.dtype}; convert with {name}.to({dtype}), or the model with "
            f"model.to({value.dtype if value.is_floating_point() else 'torch.float64'})"
        )


class SampleModel(nn.Module, abc.ABC):
    """A model that can be sampled and promises nothing else, such as a GAN."""

    event_shape: tuple[int, ...]
    context_dim: int = 0

    @abc.abstractmethod
    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws of shape (*shape, *context's batch, *event)."""

    def check_event(self, x: Tensor, name: str = "x") -> None:
        """Refuse what is no tensor, and one whose trailing dimensions are not the event's."""
        _check_tensor(x, name)
        dims = len(self.event_shape)
        if x.dim() < dims or tuple(x.shape[x.dim() - dims :]) != self.event_shape:
            raise ShapeError(
                f"{name}: expected shape (*batch, {', '.join(map(str, self.event_shape))}), got {tuple(x.shape)}"
            )

    def check_context(self, context: Tensor | None, batch: torch.Size | None = None) -> None:
        """Refuse a context of another width than the model's, or with rows that do not broadcast to those of x, of shape ``batch``."""
        if context is not None:
            _check_tensor(context, "context")
        got = 0 if context is None else context.shape[-1] if context.dim() else -1
        if got != self.context_dim:
            expected = f"{self.context_dim} features" if self.context_dim else "none"
            raise ShapeError(
                f"context: expected {expected}, got " + ("none" if context is None else f"shape {tuple(context.shape)}")
            )
        if context is None or batch is None:
            return
        rows = context.shape[:-1]
        # Some networks would broadcast x to the context instead, and answer with a density for every pair of rows.
        if len(rows) > len(batch) or any(a not in (1, b) for a, b in zip(rows[::-1], batch[::-1], strict=False)):
            raise ShapeError(
                f"context: expected rows that broadcast to those of x, {tuple(batch)}, got shape {tuple(context.shape)}; "
                "expand x for several contexts each"
            )


class LatentSampleModel(SampleModel):
    """A base density seen through an invertible map, so that every x has a latent z = transform(x; c) and back."""

    base: Base
    transform: Transform

    @abc.abstractmethod
    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Data to latent: (*batch, *event) -> (*batch, *latent event)."""

    @abc.abstractmethod
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Latent to data, the inverse of ``encode``."""

    @abc.abstractmethod
    def latent_cdf(self, z: Tensor) -> Tensor:
        """Each latent coordinate's CDF under the base, uniform on [0, 1] where the model is true; shape of ``z``."""


class ExactModel(SampleModel):
    """A model whose ``log_prob`` is the logarithm of a density that integrates to one."""

    @abc.abstractmethod
    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Exact joint log density in nats: (*batch, *event) -> (*batch)."""


class ColumnModel(ExactModel):
    """An exact density of rows of named columns, as a product of one conditional after the other, averaged over ``members``.

    Rows are encoded, NaN where a value is missing; ``columns`` says of each column what it holds, ``order`` in which order they follow.
    """

    columns: tuple[Column, ...]
    context_columns: tuple[Column, ...]
    order: tuple[int, ...]

    @abc.abstractmethod
    def member_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The log density of each member alone, nats, (members, *batch); ``log_prob`` is that of their average."""

    @abc.abstractmethod
    def columns_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(column | columns before it in ``order``) in nats, (*batch, columns); they add up to ``log_prob``."""

    @abc.abstractmethod
    def cdf(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The conditional probability below each column's value and up to it, twice (*batch, columns); equal for continuous values."""

    @abc.abstractmethod
    def sample_given(
        self,
        x: Tensor,
        known: Tensor,
        context: Tensor | None = None,
        *,
        complete: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Rows that agree with x where ``known``, and the logs of weights whose mean is p(known): (*batch, columns), (*batch).

        With ``complete`` what is drawn is never missing, and the mean is p(known, nothing else missing).
        """


class LatentModel(LatentSampleModel, ExactModel):
    """An exact model that is a base density seen through an invertible map, so that every x has a latent z and back.

    log p(x | c) = log p_base(z | c) + log|det ∂z/∂x|,   z = transform(x; c)
    """

    @abc.abstractmethod
    def sample_and_log_prob(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draws as from ``sample`` and their exact log density, from one pass."""


class BoundModel(SampleModel):
    """A model that knows a lower bound on its log-likelihood and nothing better, such as a VAE or a dequantised flow.

    The bound is an average over noise, which belongs to rows and steps and not to processes: whoever calls may draw it with
    ``draw_noise`` and hand it in, and then the number is a function of its arguments.
    """

    @abc.abstractmethod
    def log_prob_bound(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        draws: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A number that is at most log p(x) in expectation, nats (*batch), and the named terms it is the sum of.

        With more ``draws`` it comes no further from log p(x), in expectation. ``noise``, as from ``draw_noise``, has shape
        (draws, *batch, *noise shape), for one draw also (*batch, *noise shape), in any floating dtype; where it is None it is
        ``draw_noise((draws, *batch), generator=generator, like=x)``.
        """

    @abc.abstractmethod
    def draw_noise(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, like: Tensor | None = None
    ) -> Tensor:
        """What ``log_prob_bound`` consumes: (*shape, *noise shape), each row of ``shape`` independent of all others.

        Of the dtype (where that is a floating one) and on the device of ``like``; of the model's own where it is None.
        """


class IntegerModel(BoundModel):
    """A bound on the probability of integers 0 … levels − 1 from an exact density ``model`` of real numbers y.

        log P(x | c) ≥ E_u[log p(y | c) + log|∂y/∂u|],   y = to_real(x, u),   u uniform on [0, 1)

    Every x has latents and comes back from them exactly: ``to_integer`` undoes ``to_real`` for any u, ``decode`` undoes ``encode``.
    A sample is ``to_integer`` of a sample of ``model``.
    """

    model: LatentModel
    levels: int

    @abc.abstractmethod
    def check_integers(self, x: Tensor, name: str = "x") -> None:
        """Refuse, by row, numbers that are not among 0 … levels − 1: for where data enter, since it waits for the device."""

    @abc.abstractmethod
    def to_real(self, x: Tensor, u: Tensor | float) -> tuple[Tensor, Tensor]:
        """Integers (*batch, *event) and their noise to y (*batch, *event) and log|∂y/∂u| (*batch)."""

    @abc.abstractmethod
    def to_integer(self, y: Tensor) -> Tensor:
        """Real numbers to the integers they came from."""

    @abc.abstractmethod
    def encode(self, x: Tensor, context: Tensor | None = None, *, u: Tensor | float = 0.5) -> Tensor:
        """Integers to latents, by way of y = to_real(x, u)."""

    @abc.abstractmethod
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Latents to integers."""


class EstimateModel(SampleModel):
    """A model with an unbiased estimate of its log density that is neither exact nor a bound, such as a Hutchinson trace.

    As a bound's, its noise belongs to rows and steps and not to processes: whoever calls may draw it with ``draw_noise`` and hand it
    in, and then the number is a function of its arguments. The estimate's exponential is no estimate of the density: that mean is larger.
    """

    @abc.abstractmethod
    def log_prob_estimate(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        draws: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The mean of ``draws`` unbiased estimates of log p(x), nats (*batch).

        ``noise``, as from ``draw_noise``, has shape (draws, *batch, *noise shape), for one draw also (*batch, *noise shape), in any
        floating dtype; where it is None it is ``draw_noise((draws, *batch), generator=generator, like=x)``.
        """

    @abc.abstractmethod
    def draw_noise(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, like: Tensor | None = None
    ) -> Tensor:
        """What ``log_prob_estimate`` consumes: (*shape, *noise shape), each row of ``shape`` independent of all others.

        Of the dtype and on the device of ``like``; of the model's own where it is None.
        """


class LatentEstimateModel(LatentSampleModel, EstimateModel):
    """A base density seen through an invertible map that is exact, with a log-det that is estimated.

    log p(x | c) = log p_base(z | c) + E_noise[estimate of log|det ∂z/∂x|],   z = transform(x; c)
    """
