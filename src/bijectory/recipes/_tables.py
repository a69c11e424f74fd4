"""What recipes on tables share: flows over vectors by name, a cosine to zero, an exact model trained by an estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch

from ..data.batches import Noise
from ..data.generated_tables import generated_table
from ..data.splits import Splits
from ..models.estimated import EstimatedFlow
from ..models.flow import Flow
from ..models.flows.ffjord import ffjord
from ..models.flows.iaf import iaf
from ..models.flows.maf import maf
from ..models.flows.mixing import LinearChoice
from ..models.flows.mixture_cdf import mixture_cdf
from ..models.flows.nsf import nsf
from ..training.objectives.adam import AdamSettings
from ..training.objectives.estimate import maximum_estimate
from ..training.objectives.likelihood import maximum_likelihood
from ..training.schedule import warmup_cosine
from ..training.update import Update
from ..transforms.base import Chain, Transform
from ..transforms.continuous import Continuous
from ..transforms.embedded import Embedded

FlowName = Literal["nsf", "maf", "iaf", "ffjord", "mixture_cdf"]


class Size(NamedTuple):
    """How large a flow is; what a flow has no use for is left aside.

    ``floor`` is the least width, height and slope of a spline's bins, ``scale`` the bound on an affine map's log-scale, ``ode_steps`` a
    continuous flow's, ``linear`` the map that mixes features between layers.
    """

    depth: int = 5
    hidden: tuple[int, ...] = (128, 128)
    bins: int = 8
    components: int = 8
    ode_steps: int = 8
    linear: LinearChoice = "lu"
    floor: float = 1e-3
    scale: float = 3.0


class Training(NamedTuple):
    """How long a recipe for a table trains, and how fast it learns."""

    steps: int
    batch: int
    rate: float
    weight_decay: float = 0.0
    average: float | None = 0.999


#: Columns of a continuous flow's smoke run. Its exact trace is a product a column, and the certificate asks for it by ten thousands: of
#: 63 columns that took more than 100 s.
_TRACED = 3


def smoke_table(flow: FlowName, columns: int, seed: int, *, scale: float = 1.0) -> Splits:
    """300 generated rows for a run of seconds, as wide as the recipe's own; of a continuous flow 3 columns at most."""
    return generated_table(min(columns, _TRACED) if flow == "ffjord" else columns, 300, seed, scale=scale)


def vector_flow(name: FlowName, features: int, size: Size, context_dim: int = 0) -> Flow:
    """A flow over vectors: affine maps or splines in autoregression, a mixture's CDF, or a continuous flow with its exact trace."""
    if name == "maf":
        return maf(
            features,
            depth=size.depth,
            hidden=size.hidden,
            scale=size.scale,
            linear=size.linear,
            context_dim=context_dim,
        )
    if name == "iaf":
        return iaf(features, depth=size.depth, hidden=size.hidden, context_dim=context_dim)
    if name == "ffjord":
        # What the solver may be off by, relative to max(1, |log-det|): verify prints what it is. On parkinsons, after 600 updates, 8 steps
        # left 2.8e-4, which is 0.011 nats too many a row on average and 0.042 at most; 16 left 2.4e-5, 0.0009 and 0.0036 nats.
        return ffjord(features, hidden=size.hidden, steps=size.ode_steps, accuracy=1e-3, context_dim=context_dim)
    if name == "mixture_cdf":
        return mixture_cdf(features, components=size.components, hidden=size.hidden, context_dim=context_dim)
    return nsf(
        features,
        depth=size.depth,
        bins=size.bins,
        hidden=size.hidden,
        floor=size.floor,
        structure="autoregressive",
        linear=size.linear,
        context_dim=context_dim,
    )


def objective(training: Training) -> Callable[[Flow], list[Update]]:
    """Maximum likelihood; of a continuous flow the maximum of Hutchinson's estimate, at a D-th of the cost of its exact trace."""
    schedule = warmup_cosine(training.steps, warmup=min(100, training.steps // 10))
    settings: AdamSettings = {
        "rate": training.rate,
        "schedule": schedule,
        "clip": 1.0,
        "weight_decay": training.weight_decay,
        "average": training.average,
    }

    def updates(model: Flow) -> list[Update]:
        if is_continuous(model):
            return maximum_estimate(estimated(model), **settings)
        return maximum_likelihood(model, **settings)

    return updates


def is_continuous(model: Flow) -> bool:
    """Whether a continuous part's trace is what the model spends its time on."""
    return any(isinstance(part, Continuous) for part in model.transform.modules())


def estimated(model: Flow) -> EstimatedFlow:
    """The same flow, on the same weights, with Hutchinson's estimate in place of its continuous parts' exact traces."""
    return EstimatedFlow(model.base, _estimating(model.transform), context_dim=model.context_dim)


def _estimating(transform: Transform) -> Transform:
    if isinstance(transform, Chain):
        return Chain([_estimating(part) for part in transform.transforms])  # type: ignore[arg-type]
    if isinstance(transform, Embedded):
        return Embedded(_estimating(transform.transform), transform.embed)
    if not isinstance(transform, Continuous):
        return transform
    return Continuous(
        transform.field,
        trace="hutchinson",
        steps=transform.steps,
        solver=transform.solver,
        rtol=transform.rtol,
        atol=transform.atol,
    )


def estimate_noise(model: Flow) -> Noise:
    """What Hutchinson's estimate consumes, drawn with each batch; nothing is drawn for a flow without continuous parts."""
    size = estimated(model).noise_size if is_continuous(model) else 0
    return lambda rows, generator: torch.rand(rows, size, generator=generator, device=generator.device)
