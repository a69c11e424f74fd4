"""What a row of the zoo is, and where its data live.

Parameters are moved from where they start, by seeded noise: with the zero-initialised last layers of a fresh model, a law would test the
identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn

import bijectory as bj
from bijectory.numerics.circle import wrap
from bijectory.numerics.seeds import generator_for

Sampler = Callable[[tuple[int, ...], torch.Generator], Tensor]
ROWS = 96


@dataclass(frozen=True)
class Loosened:
    """A bound other than the contract's, and why."""

    bound: float
    reason: str


@dataclass(frozen=True, eq=False)
class Row:
    """A transform or a model: how to make it, what its data look like, and where the contract does not hold for it."""

    id: str
    make: Callable[[], nn.Module]
    event_shape: tuple[int, ...]
    context_dim: int = 0
    data: Sampler = field(default=lambda shape, g: torch.randn(shape, generator=g))
    noise: float = 0.1
    change: Callable[[nn.Module], None] | None = None
    tolerances: Mapping[str, Loosened] = field(default_factory=dict)
    exceptions: Mapping[str, str] = field(default_factory=dict)

    def bounds(self) -> dict[str, float]:
        """The row's own bounds, as keyword arguments of the contract."""
        return {name: loosened.bound for name, loosened in self.tolerances.items()}


@dataclass(frozen=True)
class Specimen:
    """A row's map or model with its parameters moved, rows of its domain, and their contexts."""

    module: nn.Module
    x: Tensor
    context: Tensor | None


@cache
def specimen(row: Row) -> Specimen:
    """The row made, once a session: laws work on copies."""
    generator = generator_for("zoo", row.id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        module = row.make()
    x = row.data((ROWS, *row.event_shape), generator)
    context = torch.randn(ROWS, row.context_dim, generator=generator) if row.context_dim else None
    if isinstance(module, bj.SampleModel):
        bj.initialise(module, x, context)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(row.noise * torch.randn(parameter.shape, generator=generator))
        if row.change is not None:
            row.change(module)
    return Specimen(module.eval(), x, context)


# Where data live


def spread(low: float, high: float) -> Sampler:
    """Uniform between low and high."""
    return lambda shape, g: low + (high - low) * torch.rand(shape, generator=g)


def scaled(loc: float, scale: float) -> Sampler:
    """Normal, away from the origin and of another scale than 1."""
    return lambda shape, g: loc + scale * torch.randn(shape, generator=g)


def positive(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Log-normal."""
    return torch.exp(0.5 * torch.randn(shape, generator=g))


def angles(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Angles around 2.5, some of them past the seam at ±π."""
    return wrap(2.5 + 0.8 * torch.randn(shape, generator=g))


def crescent(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Two bent, correlated columns and, beyond them, sums of neighbours: dependence that no standardising removes."""
    x = torch.randn(shape, generator=g)
    for column in range(1, shape[-1]):
        x[..., column] = 0.5 * x[..., column] + 0.5 * (x[..., column - 1] ** 2 - 1)
    return 3 + 2 * x


def integers(levels: int) -> Sampler:
    """Integers 0 … levels − 1, neighbours alike."""

    def sampler(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
        x = torch.randn(shape, generator=g)
        share = torch.sigmoid(0.8 * x + 0.8 * x.roll(1, -1))
        return (share * levels).floor().to(torch.uint8 if levels <= 256 else torch.int64)

    return sampler
