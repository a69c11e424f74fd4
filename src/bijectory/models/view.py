"""Models seen as something else: latents in the unit cube, and a model with its context as a distribution of torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ..errors import InputError, ShapeError
from ..transforms.base import Chain, Inverse, Transform
from ..transforms.circular import EDGE, Angles
from ..transforms.elementwise import Exp, Sigmoid, Softplus
from ..transforms.embedded import Embedded
from .base import BoundModel, EstimateModel, ExactModel, LatentModel, SampleModel
from .flow import Flow
from .flow_base import FlowBase


def uniform_latents(model: Flow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """u = CDF_base(f(x)), uniform on the unit cube where the model is true: (*batch, *event) -> (*batch, *event).

    A view only: float32 rounds far points to exactly 0 or 1, so there is no way back from it; never stored, never inverted.

    >>> import torch, bijectory
    >>> flow = bijectory.mixture_cdf(2)
    >>> u = uniform_latents(flow, torch.randn(5, 2))
    >>> bool(((u >= 0) & (u <= 1)).all())
    True
    """
    return model.base.cdf(model.encode(x, context))


def as_distribution(
    model: SampleModel, context: Tensor | None = None, *, validate_args: bool | None = None
) -> ModelDistribution:
    """``model`` at ``context`` (*batch, features) as a ``torch.distributions.Distribution`` with that batch_shape.

    ``sample``, ``rsample``, ``log_prob`` and ``expand`` follow torch's shapes: (*sample_shape, *batch_shape, *event_shape). Without context
    the batch_shape is () and may be expanded to any. The model is used and not copied: what trains it changes the distribution.

    ``validate_args`` is torch's: on (the default of a process) ``log_prob`` refuses values of another shape or outside the support, which
    waits for the device; off, for ``torch.func`` and ``torch.compile``. The support is read off the model's first map.
    ``has_rsample`` says whether a sample's gradient is that of its law: an inverse exists, and nothing in the base is trained.
    There is no entropy, mean or KL divergence: none has a closed form, and torch's ``kl_divergence`` promises an exact one. By samples:
    ``(p.log_prob(x) - q.log_prob(x)).mean()`` with x from p.

    Raises InputError for a model without an exact ``log_prob``, ShapeError for a context of another width than the model's.

    >>> import torch, bijectory
    >>> flow = bijectory.nsf(2, depth=1, hidden=(8,), context_dim=3)
    >>> q = as_distribution(flow, torch.zeros(5, 3))
    >>> q.rsample((4,)).shape, q.log_prob(torch.zeros(2)).shape
    (torch.Size([4, 5, 2]), torch.Size([5]))
    """
    return ModelDistribution(model, context, validate_args=validate_args)


class ModelDistribution(Distribution):
    """What ``as_distribution`` gives; see there."""

    # torch checks constrained parameters at construction; a model's have their bounds inside its maps.
    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch's own name and type

    def __init__(self, model: SampleModel, context: Tensor | None = None, *, validate_args: bool | None = None) -> None:
        self.model, self.context = _exact(model), context
        got = 0 if context is None else context.shape[-1] if context.dim() else -1
        if got != model.context_dim:
            raise ShapeError(
                f"context: expected shape (*batch, {model.context_dim}), got "
                + (f"{tuple(context.shape)}" if context is not None else "none")
            )
        batch = torch.Size() if context is None else context.shape[:-1]
        # Not torch's own default: the first torch.compile of a process switches that off for every distribution.
        checked = __debug__ if validate_args is None else validate_args
        super().__init__(batch, torch.Size(model.event_shape), validate_args=checked)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples carry the gradient of their law."""
        return isinstance(self.model, LatentModel) and reparameterised(self.model)

    @property
    def support(self) -> constraints.Constraint:
        """Where the density lives, by the model's first map; ``log_prob`` refuses more where a map further in is narrower."""
        dims = len(self.event_shape)
        inner = _domain(self.model.transform) if isinstance(self.model, LatentModel) else constraints.real
        return constraints.independent(inner, dims) if dims else inner

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> ModelDistribution:
        """The same distribution with a batch that broadcasts to ``batch_shape``."""
        batch = torch.Size(batch_shape)
        new = self._get_checked_instance(ModelDistribution, _instance)
        new.model = self.model
        new.context = None if self.context is None else self.context.expand(*batch, self.context.shape[-1])
        super(ModelDistribution, new).__init__(batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """Draws whose gradients reach the context and the weights: (*sample_shape, *batch_shape, *event_shape)."""
        if not self.has_rsample:
            raise NotImplementedError(
                "rsample: the model has no inverse with a gradient, or its base trains weights of its own; use sample"
            )
        return self._draw(sample_shape)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """Draws without gradient, from torch's global stream of random numbers."""
        with torch.no_grad():
            return self._draw(sample_shape)

    def _draw(self, sample_shape: Sequence[int]) -> Tensor:
        # A model puts the context's batch behind the shape itself; without a context there is none to put.
        shape = tuple(sample_shape) if self.context is not None else (*sample_shape, *self.batch_shape)
        return self.model.sample(shape, self.context)

    def log_prob(self, value: Tensor) -> Tensor:
        """Exact joint nats, values broadcast to the batch: (*sample_shape, *batch_shape, *event_shape) -> (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        batch = torch.broadcast_shapes(value.shape[: value.dim() - len(self.event_shape)], self.batch_shape)
        context = None if self.context is None else self.context.expand(*batch, self.context.shape[-1])
        return self.model.log_prob(value.expand(*batch, *self.event_shape), context)

    def __repr__(self) -> str:
        batch, event = tuple(self.batch_shape), tuple(self.event_shape)
        return f"{type(self).__name__}({type(self.model).__name__}, batch_shape={batch}, event_shape={event})"


def reparameterised(model: LatentModel) -> bool:
    """Whether a sample of ``model`` is a differentiable function of its weights and of noise that knows none of them.

    A base with weights of its own may draw them in (a mixture chooses a component), and then the gradient of a sample is not that of
    its law; a flow as a base is asked itself.
    """
    base = model.base
    fixed = (
        reparameterised(base.flow)
        if isinstance(base, FlowBase)
        else not any(p.requires_grad for p in base.parameters())
    )
    return fixed and model.transform.has_inverse


def _exact(model: SampleModel) -> ExactModel:
    if isinstance(model, ExactModel):
        return model
    kind = type(model).__name__
    if isinstance(model, BoundModel):
        knows = "gives a bound on log p (log_prob_bound); a Distribution's is exact. Of a Quantised flow take its .model, over reals"
    elif isinstance(model, EstimateModel):
        knows = "gives an estimate of log p (log_prob_estimate); a Distribution's log_prob is exact"
    else:
        knows = "has no likelihood; a Distribution has a log_prob"
    raise InputError(f"model: {kind} {knows}")


def _domain(transform: Transform) -> constraints.Constraint:
    """The numbers that a model's first map takes."""
    if isinstance(transform, Chain):
        return _domain(transform.transforms[0])  # type: ignore[arg-type]
    if isinstance(transform, Embedded):
        return _domain(transform.transform)
    if isinstance(transform, Angles):
        return constraints.interval(-EDGE, EDGE)
    if isinstance(transform, Inverse):
        if isinstance(transform.transform, Sigmoid):
            return constraints.unit_interval
        if isinstance(transform.transform, Exp | Softplus):
            return constraints.positive
    return constraints.real
