"""Couplings: one part of an event moves, by parameters that a network reads off the part that stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import DataInitialised, InitialisedNet, Transform, read
from .by_hand import ByHand, Pull
from .elementwise import Elementwise
from .reversible import at_leaf, backward

Net = Callable[[Tensor, Tensor | None], Tensor]


class Parting(Protocol):
    """What a coupling asks of a partition: ``Partition`` cuts vectors, those in ``partitions`` pictures."""

    #: How many trailing dimensions of x form one event.
    event_dim: int

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def merge(self, staying: Tensor, moving: Tensor) -> Tensor: ...


class Partition(nn.Module):
    """Which coordinates of a vector stay (the net reads them) and which move.

    ``moving`` are the indices that move; the rest stay. Raises InputError where either part would be empty.

    >>> Partition.halves(4).moving, Partition.even_odd(4).moving, Partition.alternating(3, 1).moving
    ((2, 3), (1, 3), (0, 2))
    """

    event_dim: int = 1

    def __init__(self, features: int, moving: Sequence[int]) -> None:
        super().__init__()
        chosen = sorted(set(moving))
        if len(chosen) != len(moving) or any(not 0 <= i < features for i in chosen):
            raise InputError(f"moving: expected distinct indices in 0..{features - 1}, got {tuple(moving)}")
        if not 0 < len(chosen) < features:
            raise InputError(
                f"moving: expected at least one of {features} features to move and one to stay, got {tuple(moving)}; a single feature "
                "has nothing to be conditioned on: use an autoregressive flow"
            )
        self.features, self.moving = features, tuple(chosen)
        self.staying = tuple(i for i in range(features) if i not in set(chosen))
        back = torch.argsort(torch.tensor(self.staying + self.moving))
        self.register_buffer("_back", back, persistent=False)
        self.register_buffer("_stay", torch.tensor(self.staying), persistent=False)
        self.register_buffer("_move", torch.tensor(self.moving), persistent=False)
        self._back: Tensor
        self._stay: Tensor
        self._move: Tensor
        # Contiguous parts are cut and joined without copying by index, which is most of the cost of a small coupling.
        border = len(self.staying)
        if self.staying == tuple(range(border)):
            self._layout = "stay first"
        elif self.moving == tuple(range(features - border)):
            self._layout = "move first"
        else:
            self._layout = "scattered"

    @classmethod
    def halves(cls, features: int, flip: bool = False) -> Partition:
        """The second half moves; with ``flip`` the first."""
        half = features // 2
        return cls(features, range(half) if flip else range(half, features))

    @classmethod
    def even_odd(cls, features: int, flip: bool = False) -> Partition:
        """The odd indices move; with ``flip`` the even ones."""
        return cls(features, range(0 if flip else 1, features, 2))

    @classmethod
    def alternating(cls, features: int, layer: int) -> Partition:
        """The partition of the ``layer``-th coupling in a stack: even and odd indices take turns."""
        return cls.even_odd(features, flip=layer % 2 == 1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(*, features) -> the part that stays (*, a) and the part that moves (*, b)."""
        # One split and not two slices: its gradient is one concatenation, theirs two zero-filled copies and a sum. And not x.split,
        # which does the same but comes to it by way of Python: 6 µs in place of 2.
        if self._layout == "stay first":
            staying, moving = torch.split_with_sizes(x, (len(self.staying), len(self.moving)), -1)
            return staying, moving
        if self._layout == "move first":
            moving, staying = torch.split_with_sizes(x, (len(self.moving), len(self.staying)), -1)
            return staying, moving
        if _in_rows(x):
            return x.t().index_select(0, self._stay).t(), x.t().index_select(0, self._move).t()
        return x.index_select(-1, self._stay), x.index_select(-1, self._move)

    def merge(self, staying: Tensor, moving: Tensor) -> Tensor:
        """The inverse of ``split``."""
        if self._layout == "stay first":
            return torch.cat([staying, moving], -1)
        if self._layout == "move first":
            return torch.cat([moving, staying], -1)
        if _in_rows(moving):
            return torch.cat([staying.t(), moving.t()]).index_select(0, self._back).t()
        return torch.cat([staying, moving], -1).index_select(-1, self._back)

    def extra_repr(self) -> str:
        return f"features={self.features}, moving={self.moving}"


def _in_rows(x: Tensor) -> bool:
    """Whether vectors are cut and joined as rows, one for each coordinate: a compiled loop then copies whole rows and looks up none."""
    return torch.compiler.is_compiling() and x.dim() == 2


class Coupling(Transform, DataInitialised):
    """z_A = x_A, z_B = elementwise(x_B; net(x_A, context)).

        log|det| = Σ_B log dz_B/dx_B

    ``net`` maps the staying part (*batch, *a) and the context to parameters (*batch, *b, num_params) for the moving part (*batch, *b);
    a and b are vectors for a ``Partition``, pictures for those in ``partitions``. ``initialise`` hands the staying part to a net that
    has an ``initialise`` of its own. The Jacobian is triangular, the inverse costs as much as the forward map.
    Source: Dinh et al. 2014, 2016 (arXiv:1410.8516, arXiv:1605.08803).
    """

    #: The dtype that the net's matrix products run in, such as torch.bfloat16; None is x's own. A setting, not part of the state.
    precision: torch.dtype | None = None

    def __init__(self, partition: Parting, elementwise: Elementwise, net: Net) -> None:
        super().__init__()
        self.partition = partition
        self.elementwise = elementwise
        self.net = net
        self.event_dim_in = self.event_dim_out = partition.event_dim
        self._event = tuple(range(-partition.event_dim, 0))
        self.rebuilds_x, self.rebuilds_z = elementwise.rebuilds_x, elementwise.rebuilds_z

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        staying, moving = self.partition.split(x)
        moved, log_slope = self.elementwise.forward(moving, read(self.net, staying, context, self.precision))
        return self.partition.merge(staying, moved), log_slope.sum(self._event)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        staying, moved = self.partition.split(z)
        moving, log_slope = self.elementwise.inverse(moved, read(self.net, staying, context, self.precision))
        return self.partition.merge(staying, moving), log_slope.sum(self._event)

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        if type(self) is not Coupling:
            return super().pull_back(z, at_z, at_log_det, context, inverse=inverse)
        staying, moved = self.partition.split(z)
        at_staying, at_moved = self.partition.split(at_z)
        # The part that stays is the same in z as in x: one call of the net gives the parameters of both ways.
        staying = staying.detach().requires_grad_()
        with torch.enable_grad():
            params = read(self.net, staying, context, self.precision)
        at_log_slope = at_log_det[(..., *[None] * len(self._event))]
        moving, at_moving, at_params = self.elementwise.pull_back(
            moved, params.detach(), at_moved, at_log_slope, inverse=inverse
        )
        backward((params,), (at_params,))
        at_x = self.partition.merge(at_staying + at_leaf(staying), at_moving)
        return self.partition.merge(staying.detach(), moving), at_x

    def by_hand(self) -> ByHand | None:
        """For vectors in x's own dtype, where net and elementwise map both have it; ``net.by_hand()`` as nets/mlp.py's."""
        net = getattr(self.net, "by_hand", None)
        plain = type(self) is Coupling and type(self.partition) is Partition and self.precision is None
        if not plain or net is None:
            return None
        held, elementwise = net(), self.elementwise.by_hand()
        if held is None or elementwise is None:
            return None
        weights, run_net = held

        def run(x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor, Pull]:
            staying, moving = self.partition.split(x)
            params, pull_net = run_net(staying, weights)
            moved, log_slope, pull_map = elementwise(moving, params)

            def pull(at_z: Tensor, at_log_det: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
                at_staying, at_moved = self.partition.split(at_z)
                at_moving, at_params = pull_map(at_moved, at_log_det.unsqueeze(-1))
                through_net, at_weights = pull_net(at_params)
                return self.partition.merge(at_staying + through_net, at_moving), at_weights

            return self.partition.merge(staying, moved), log_slope.sum(-1), pull

        return weights, run

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let a net that asks for it set its constants from the part of x, of shape (batch, *event), that stays."""
        if isinstance(self.net, InitialisedNet):
            self.net.initialise(self.partition.split(x)[0], context)
