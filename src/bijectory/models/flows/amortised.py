"""The network by which a context moves constants of a map."""

from __future__ import annotations

from collections.abc import Sequence

from ...nets.mlp import MLP


def context_net(context_dim: int, count: int, hidden: Sequence[int], activation: str) -> MLP | None:
    """An MLP (*batch, context_dim) -> (*batch, count) that starts at zero, or None where there is no context."""
    return MLP(context_dim, (count,), hidden=hidden, activation=activation) if context_dim else None
