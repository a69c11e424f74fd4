"""Conditional flows whose context arrives in its own units."""

from __future__ import annotations

from typing import TypeVar

from ..errors import InputError
from ..nets.embed import StandardisedContext
from ..transforms.embedded import Embedded
from .estimated import EstimatedFlow
from .flow import Flow

AnyFlow = TypeVar("AnyFlow", Flow, EstimatedFlow)


def standardised_context(flow: AnyFlow) -> AnyFlow:
    """The same conditional flow, reading its context less its mean, over its deviation, both of the training contexts.

        p(x | c) = p_flow(x | (c − m) / s)

    m and s are set by ``bijectory.initialise`` and saved with the weights, so that whoever uses the model hands it degrees and years as
    they are. They change no volume: the density is one of x alone. Raises InputError for a flow without a context.

    >>> import torch, bijectory
    >>> flow = standardised_context(bijectory.nsf(1, depth=1, hidden=(8,), context_dim=2))
    >>> bijectory.initialise(flow, torch.randn(50, 1), 1000 + 20 * torch.randn(50, 2))
    >>> flow.sample(4, torch.tensor([1000.0, 980.0])).shape
    torch.Size([4, 1])
    """
    if not flow.context_dim:
        raise InputError("flow: expected a conditional flow, got one without a context; make it with context_dim")
    return type(flow)(
        flow.base, Embedded(flow.transform, StandardisedContext(flow.context_dim)), context_dim=flow.context_dim
    )
