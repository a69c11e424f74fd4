"""A network as a field that changes with time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError
from .mlp import MLP, check_context


class TimeMLP(nn.Module):
    """A perceptron of the time, x and a context: (), (*batch, features), (*batch, context_dim) -> (*batch, features).

    Time and context enter beside x in the first layer, never squashed. ``zero`` starts the field at rest, so that its flow is the identity.
    Raises InputError for the activation relu: a field with kinks is no longer followed to order 4 by Runge-Kutta, and its divergence
    jumps.

    >>> import torch
    >>> TimeMLP(3, hidden=(8,))(torch.tensor(0.5), torch.zeros(7, 3)).shape
    torch.Size([7, 3])
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "tanh",
        context_dim: int = 0,
        zero: bool = True,
        squash: bool = False,
    ) -> None:
        super().__init__()
        if activation == "relu":
            raise InputError("activation: expected a smooth one (tanh, silu or gelu) for a field, got 'relu'")
        self.context_dim = context_dim
        self.net = MLP(
            features,
            (features,),
            hidden=hidden,
            activation=activation,
            context_dim=1 + context_dim,
            zero=zero,
            squash=squash,
        )

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        check_context(context, self.context_dim)
        given = t.to(x.dtype).reshape(1)
        if context is not None:
            given = torch.cat([given.expand(*context.shape[:-1], 1), context], -1)
        return self.net(x, given)
