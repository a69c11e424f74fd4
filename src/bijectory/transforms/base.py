"""What an invertible map is, and how maps are put one behind the other."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from ..errors import InputError
from .by_hand import ByHand, run_by_hand, wanted
from .reversible import Memory, Step, may_rebuild, pulled, rebuilt

Map = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


class Transform(nn.Module, abc.ABC):
    """A differentiable map from data x to latent z that knows its log-det.

        p_x(x) = p_z(f(x)) · |det ∂f/∂x|

    To write one: fill in ``forward_and_log_det`` and ``inverse_and_log_det``, declare what is not the default below, and add a row
    to ``tests/contract/zoo.py``. ``x`` and ``z`` have shape (*batch, *event), ``context`` (*batch, features) or None, and
    ``log_det`` has shape (*batch): event dimensions are summed already. ``inverse_and_log_det`` returns log|det ∂x/∂z|.
    """

    #: How many trailing dimensions of x and of z form one event.
    event_dim_in: int = 1
    event_dim_out: int = 1
    #: False where no inverse exists; ``inverse_and_log_det`` then raises InverseError.
    has_inverse: bool = True
    #: False where the log-det is an estimate.
    exact_log_det: bool = True
    #: How far values and log-det may be from an exact map's, as those of an equation solved step by step; 0 is rounding alone. What is
    #: declared here the contract allows, and holds the map to.
    accuracy: float = 0.0
    #: Whether x comes back from z, and z from x, to a few roundings and for about the price of one call of what the map contains. Chains
    #: that rebuild their activations keep the input of a part where it does not, see transforms/reversible.py.
    rebuilds_x: bool = True
    rebuilds_z: bool = True

    @abc.abstractmethod
    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z = f(x) and log|det ∂z/∂x|."""

    @abc.abstractmethod
    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x = f⁻¹(z) and log|det ∂x/∂z|."""

    def by_hand(self) -> ByHand | None:
        """The map of (batch, features) with its gradient written by hand, as things stand now; None where nobody wrote it."""
        return None

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        """From z and the gradients of z and log_det to x and its gradient, without anything kept from the forward pass.

        Called where no gradient is recorded; gradients of weights and context are added to their own ``grad``. With ``inverse`` the pass
        was one of ``inverse_and_log_det``, and x and z change places. A map that knows a cheaper way than to invert and pass again
        fills this in.
        """
        x = (self.forward if inverse else self.inverse)(z, context)
        run = self.inverse_and_log_det if inverse else self.forward_and_log_det
        return x, pulled(run, x, at_z, at_log_det, context)[1]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """z = f(x)."""
        return self.forward_and_log_det(x, context)[0]

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """x = f⁻¹(z)."""
        return self.inverse_and_log_det(z, context)[0]


class DataInitialised(abc.ABC):
    """A part that can set its constants from one batch of data before training, when asked and only then.

    Never a side effect of the first forward pass or of loading: peers re-initialised loaded models that way (nflows #4).
    """

    @abc.abstractmethod
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set the constants from x of shape (batch, *event)."""


@runtime_checkable
class InitialisedNet(Protocol):
    """A network that sets its own scale from the batch it will read, and says what it then makes of it."""

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor: ...

    def initialise(self, x: Tensor, context: Tensor | None = None) -> Tensor: ...


def read(
    net: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, context: Tensor | None, precision: torch.dtype | None
) -> Tensor:
    """What ``net`` makes of x and context, in x's dtype; where ``precision`` is given, its matrix products run in that.

    Maps and log-dets stay as wide as x: 1,000 dimensions' log-slopes added up in bfloat16 would keep two or three digits.
    """
    if precision is None:
        return net(x, context)
    with torch.autocast(x.device.type, precision):
        return net(x, context).to(x.dtype)


class Chain(Transform, DataInitialised):
    """Maps applied in the order written: z = f_n(… f_2(f_1(x))).

        log|det ∂z/∂x| = Σ_i log|det ∂f_i|

    >>> from bijectory import Chain, Permute
    >>> Chain([Permute((1, 0)), Permute((1, 0))]).transforms
    ModuleList(
      (0-1): 2 x Permute(order=(1, 0))
    )
    """

    #: What is kept for the backward pass, see ``set_memory``. A setting, not part of the state.
    memory: Memory = "plain"

    def __init__(self, transforms: Sequence[Transform]) -> None:
        super().__init__()
        if not transforms:
            raise InputError("transforms: expected at least one Transform, got an empty sequence")
        for left, right in itertools.pairwise(transforms):
            if left.event_dim_out != right.event_dim_in:
                raise InputError(
                    f"transforms: {type(left).__name__} hands on {left.event_dim_out} event dimensions, "
                    f"{type(right).__name__} expects {right.event_dim_in}"
                )
        self.transforms = nn.ModuleList(transforms)
        self.event_dim_in = transforms[0].event_dim_in
        self.event_dim_out = transforms[-1].event_dim_out
        self.has_inverse = all(t.has_inverse for t in transforms)
        self.exact_log_det = all(t.exact_log_det for t in transforms)
        self.accuracy = sum(t.accuracy for t in transforms)
        self.rebuilds_x = all(t.rebuilds_x for t in transforms)
        self.rebuilds_z = all(t.rebuilds_z for t in transforms)

    def _parts(self) -> list[Transform]:
        return cast("list[Transform]", list(self.transforms))

    def _steps(self) -> list[Step]:
        return [Step(t.forward_and_log_det, t.pull_back if t.rebuilds_x else None) for t in self._parts()]

    def _steps_back(self) -> list[Step]:
        return [
            Step(t.inverse_and_log_det, partial(t.pull_back, inverse=True) if t.rebuilds_z else None)
            for t in reversed(self._parts())
        ]

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        for part in self._parts() if inverse else reversed(self._parts()):
            z, at_z = part.pull_back(z, at_z, at_log_det, context, inverse=inverse)
        return z, at_z

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.memory == "rebuild" and may_rebuild():
            return rebuilt(self, self._steps(), x, context)
        total: Tensor | None = None
        # One batch dimension: then the parts whose events are vectors see (batch, features), as gradients written by hand expect.
        quick = x.dim() == self.event_dim_in + 1 and wanted(x, context)
        for run in self._by_hand() if quick else [t.forward_and_log_det for t in self._parts()]:
            x, log_det = run(x, context)
            total = log_det if total is None else total + log_det
        assert total is not None
        return x, total

    def _by_hand(self) -> list[Map]:
        """The parts' forward maps, those with gradients written by hand and next to one another as one."""
        maps: list[Map] = []
        row: list[ByHand] = []
        for part in self._parts():
            held = part.by_hand()
            if held is None:
                maps.append(part.forward_and_log_det)
                row = []
            elif row:
                row.append(held)
            else:
                row = [held]
                maps.append(partial(run_by_hand, row))
        return maps

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.memory == "rebuild" and may_rebuild():
            return rebuilt(self, self._steps_back(), z, context)
        total: Tensor | None = None
        for transform in reversed(self._parts()):
            z, log_det = transform.inverse_and_log_det(z, context)
            total = log_det if total is None else total + log_det
        assert total is not None
        return z, total

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialise each part that asks for it on what the parts before it make of the batch."""
        for transform in self._parts():
            if isinstance(transform, DataInitialised):
                transform.initialise(x, context)
            x = transform(x, context)


class Inverse(Transform):
    """The same map, read from latent to data; an inverse autoregressive flow is the Inverse of a masked one."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform
        self.event_dim_in, self.event_dim_out = transform.event_dim_out, transform.event_dim_in
        self.has_inverse, self.exact_log_det, self.accuracy = True, transform.exact_log_det, transform.accuracy
        self.rebuilds_x, self.rebuilds_z = transform.rebuilds_z, transform.rebuilds_x
        if not transform.has_inverse:
            raise InputError(
                f"transform: {type(transform).__name__} declares has_inverse=False, so it cannot be read backwards"
            )

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform.inverse_and_log_det(x, context)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform.forward_and_log_det(z, context)

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        return self.transform.pull_back(z, at_z, at_log_det, context, inverse=not inverse)
