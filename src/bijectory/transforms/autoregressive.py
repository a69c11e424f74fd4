"""Autoregression: each coordinate moves by parameters read off those before it, and the protocol such networks meet."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from ..errors import InputError
from ..numerics.jacobi import solve_causal
from ..numerics.reduce import sum_event
from ..numerics.tracing import traced
from .base import DataInitialised, InitialisedNet, Transform, read
from .elementwise import Elementwise

#: How the inverse of an autoregression is found: position by position with a cache, or all at once by Jacobi iteration.
Sampling = Literal["incremental", "jacobi"]


@runtime_checkable
class CausalNet(Protocol):
    """A network whose i-th output depends only on the inputs before i, in ``order``.

    Called with x (*batch, length) it gives all parameters (*batch, length, num_params) at once. For sampling, ``start`` opens a cache
    for values of shape (*batch), and ``step`` takes the value just generated (None at first) and gives the next position's parameters
    (*batch, num_params). The work of all steps together should be about that of one call.

    Positions stand along the first of the event's ``event_dim`` dimensions: numbers in a vector where it is 1; planes in a picture
    (length, H, W) where it is 3, so that a value is (*batch, H, W), its parameters (*batch, H, W, num_params).
    """

    event_dim: int
    order: tuple[int, ...]

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor: ...

    def start(self, batch: torch.Size, context: Tensor | None = None) -> Any: ...

    def step(self, cache: Any, previous: Tensor | None) -> tuple[Tensor, Any]: ...


class NaiveCausal(nn.Module):
    """The plain way to step: a whole call of the network for every position. The reference that a cache is held against."""

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        self.net = net
        self.event_dim, self.order = net.event_dim, net.order

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(x, context)

    def start(self, batch: torch.Size, context: Tensor | None = None) -> Any:
        return batch, context, []

    def step(self, cache: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        batch, context, values = cache
        if previous is not None:
            values = [*values, previous]
        like = values[0] if values else next(p for p in self.parameters())
        columns = [like.new_zeros(batch) for _ in self.order]
        for position, value in zip(self.order, values, strict=False):
            columns[position] = value
        params = self.net(torch.stack(columns, -self.event_dim), context)
        return params.select(-self.event_dim - 1, self.order[len(values)]), (batch, context, values)


class Autoregressive(Transform, DataInitialised):
    """z_i = elementwise(x_i; net(x_{<i}, context)), "before" meaning earlier in the net's order.

        log|det| = Σ_i log dz_i/dx_i

    x_i is a number of a vector, or a plane of a picture where the net reads planes, as ``ChannelMADE`` does: every number of the plane
    then moves by parameters of its own, read off all places of the planes before. ``initialise`` hands x to a net that asks for it.

    Forward (density) is one call of the network. The inverse (sampling) goes through the positions with the network's cache; with
    ``sampling="jacobi"`` it computes all of them at once, again and again, until none changes by more than ``tolerance`` (8 roundings of
    the dtype where it is None) of its size or of 1: at most one call of the network for each position, usually far fewer, and two more
    where a gradient is recorded; each is wide enough to fill an accelerator. ``bijectory.residuals`` tells how many.
    Its Inverse() has the fast direction the other way round.

    Source: Papamakarios et al. 2017 (MAF, arXiv:1705.07057); Kingma et al. 2016 (IAF, arXiv:1606.04934); Song et al. 2021 (Jacobi
    iteration, arXiv:2002.03629). Raises InputError for another ``sampling``.
    """

    #: The dtype that the net's matrix products run in, such as torch.bfloat16; None is x's own. A setting, not part of the state.
    precision: torch.dtype | None = None
    # Position by position, or sweep by sweep: z from x is one call of the net, x from z is many.
    rebuilds_x = False

    def __init__(
        self,
        elementwise: Elementwise,
        net: CausalNet,
        *,
        sampling: Sampling = "incremental",
        tolerance: float | None = None,
    ) -> None:
        super().__init__()
        self.elementwise = elementwise
        self.net = net
        self.event_dim_in = self.event_dim_out = net.event_dim
        self._event = tuple(range(-net.event_dim, 0))
        # Settings, as ``precision`` is, and no part of the state.
        self.sampling, self.tolerance = _checked(sampling, tolerance)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.elementwise.forward(x, read(self.net, x, context, self.precision))
        return z, log_slope.sum(self._event)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.sampling == "jacobi" and _may_iterate():
            x, log_slope = solve_causal(
                lambda x: self.elementwise.inverse(z, read(self.net, x, context, self.precision)),
                torch.zeros_like(z),
                length=z.shape[-self.event_dim_in],
                tolerance=self.tolerance,
            )
            return x, log_slope.sum(self._event)
        narrow = nullcontext() if self.precision is None else torch.autocast(z.device.type, self.precision)
        # A row for each position: numbers D apart cost a small operation ten times as much as neighbours.
        given = z.movedim(-self.event_dim_in, 0).contiguous().unbind(0)
        with narrow:
            cache = self.net.start(given[0].shape, context)
        columns: list[Tensor | None] = [None] * len(given)
        total: Tensor | None = None
        previous: Tensor | None = None
        for position in self.net.order:
            with narrow:
                params, cache = self.net.step(cache, previous)
            previous, log_slope = self.elementwise.inverse(given[position], params.to(z.dtype))
            columns[position] = previous
            total = log_slope if total is None else total + log_slope
        assert total is not None
        x = torch.stack([c for c in columns if c is not None], -self.event_dim_in)
        # What is left of the event in each position's log-slopes: nothing of a number, height and width of a plane.
        return x, sum_event(total, self.event_dim_in - 1)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let a net that asks for it set its constants from x, of shape (batch, *event)."""
        if isinstance(self.net, InitialisedNet):
            self.net.initialise(x, context)


def set_sampling(model: nn.Module, sampling: Sampling, *, tolerance: float | None = None) -> None:
    """Have every autoregression of ``model`` find its inverse that way; see ``Autoregressive``. Not part of what is saved.

    Raises InputError for another ``sampling`` than 'incremental' and 'jacobi'.

    >>> import bijectory
    >>> flow = bijectory.maf(3, depth=2, hidden=(8,))
    >>> set_sampling(flow, "jacobi")
    >>> with bijectory.residuals() as solved:
    ...     x = flow.sample(100)
    >>> [(one.what, one.iterations) for one in solved]
    [('jacobi', 2), ('jacobi', 2)]
    """
    settings = _checked(sampling, tolerance)
    for module in model.modules():
        if isinstance(module, Autoregressive):
            module.sampling, module.tolerance = settings


def _checked(sampling: Sampling, tolerance: float | None) -> tuple[Sampling, float | None]:
    if sampling not in get_args(Sampling):
        raise InputError(f"sampling: expected 'incremental' or 'jacobi', got {sampling!r}")
    if tolerance is not None and not tolerance > 0:
        raise InputError(f"tolerance: expected a positive number or None, got {tolerance}")
    return sampling, tolerance


def _may_iterate() -> bool:
    """Whether an iteration may look at its values and hook its gradient: inside a graph, torch.func and forward mode it may not."""
    return not traced() and forward_ad._current_level < 0
