"""What a model of one column given others says of that number: its distribution function, its quantiles, its mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from .table import TableModel

#: Halvings of a quantile's bracket: 80 scales of a logistic shrink to less than float64's own spacing.
HALVINGS = 64
#: The bracket reaches so many scales beyond the outermost logistics, where σ differs from 0 and 1 by e^−40.
REACH = 40.0
#: Midpoints in probability by which the mean of each logistic is taken where its map is more than a shift and a scale.
MIDPOINTS = 64


class Predictive:
    """The distribution of y given rows of context, from one pass of the networks: a mixture of logistics over t(y), and atoms.

        F(y | c) = Σ_a P(a | c) 1[a ≤ y] + Σ_k w_k(c) σ((t(y) − loc_k(c)) / s_k(c))

    ``model`` has one column, of values on a line and never missing; ``context`` (rows, features) is encoded. All is float64, whatever the
    weights' precision, since quantiles are solved for. Raises InputError for another model.

    >>> import torch
    >>> from bijectory.data.kinds import Column
    >>> model = TableModel([Column("y", "real")], context_columns=[Column("x", "real")], hidden=8)
    >>> model.initialise(torch.arange(100.0)[:, None], torch.zeros(100, 1))
    >>> y = Predictive(model, torch.zeros(2, 1))
    >>> y.quantile(torch.tensor([0.25, 0.5])).shape, (y.mean() - 49.5).abs().max() < 1
    (torch.Size([2, 2]), tensor(True))
    """

    def __init__(self, model: TableModel, context: Tensor) -> None:
        values = model.values
        if len(model.columns) != 1 or len(values.lines) != 1 or model.columns[0].gaps:
            raise InputError(
                "model: expected one column of numbers on a line, without gaps, got "
                + ", ".join(f"{c.kind}{' with gaps' if c.gaps else ''}" for c in model.columns)
            )
        self.column, self.values = model.columns[0], values
        with torch.no_grad():
            log_states, log_weight, loc, log_scale = (part.double() for part in model.mixture(context))
        # The members are averaged: (members, rows, components) as one mixture (rows, members · components).
        share = log_states[..., :1] - math.log(len(log_states))
        self.weight = (log_weight + share).exp().movedim(0, 1).flatten(1)
        self.loc, self.scale = loc.movedim(0, 1).flatten(1), log_scale.exp().movedim(0, 1).flatten(1)
        order = sorted(range(len(self.column.atoms)), key=self.column.atoms.__getitem__)
        #: The atoms, ascending (atoms,), their t, and their probabilities (rows, atoms).
        self.atoms = torch.tensor([self.column.atoms[k] for k in order], dtype=torch.float64)
        self.places = self._t(self.atoms)
        self.of_atoms = log_states[..., 1:].exp().mean(0)[:, order]

    def cdf(self, y: Tensor) -> Tensor:
        """P(Y ≤ y | c), (rows, levels) -> (rows, levels)."""
        y = y.double()
        # An atom on the least value has t = −∞, as all that lies below it would.
        return torch.where(y < self.values.support(0)[0], 0.0, self._up_to(self._t(y)))

    def quantile(self, q: Tensor) -> Tensor:
        """The least y with P(Y ≤ y | c) ≥ q, by bisection: (levels,) -> (rows, levels). InputError for levels outside (0, 1)."""
        q = q.double()
        if q.dim() != 1 or bool(((q <= 0) | (q >= 1)).any()):
            raise InputError(f"q: expected probabilities between 0 and 1, got {q.tolist()}")
        finite = self.places[torch.isfinite(self.places)]
        low = torch.cat([self.loc - REACH * self.scale, (finite - 1).expand(len(self.loc), -1)], -1)
        high = torch.cat([self.loc + REACH * self.scale, (finite + 1).expand(len(self.loc), -1)], -1)
        low, high = low.amin(-1, keepdim=True).expand(-1, len(q)), high.amax(-1, keepdim=True).expand(-1, len(q))
        first, last = low, high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = self._up_to(middle) >= q
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        found = self.values.unline(high, 0)
        # An atom is a jump of F: the bracket closes on its place, and unline would give its neighbour. On a bound it closes on an end.
        for atom, place in zip(self.atoms, self.places, strict=True):
            spot = (low <= place) & (place <= high)
            spot |= (place == -math.inf) & (low == first) | (place == math.inf) & (high == last)
            found = torch.where(spot, atom, found)
        return found

    def mean(self) -> Tensor:
        """E[Y | c], (rows). Exact where t is a shift and a scale.

        Of a positive, bounded or counted y, whose t is bent, each logistic's part is a midpoint rule of 64 probabilities: it leaves out
        what lies beyond the outermost 1/128 of each, since the exponential of a wide logistic has no finite mean at all.
        """
        if self.column.kind in ("real", "ordinal") or (self.column.kind == "integer" and self.column.low is None):
            value = self.loc * self.values.spread.double() + self.values.centre.double()
        else:
            u = (torch.arange(MIDPOINTS, dtype=torch.float64) + 0.5) / MIDPOINTS
            value = self.values.unline(self.loc.unsqueeze(-1) + self.scale.unsqueeze(-1) * torch.logit(u), 0).mean(-1)
        return (self.weight * value).sum(-1) + (self.of_atoms * self.atoms).sum(-1)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of Y given each row, (rows, n): the networks are asked once for all of a row's."""
        shares = torch.cat([self.weight, self.of_atoms], -1).cumsum(-1)
        shape = (len(shares), n)
        u = torch.rand(shape, generator=generator, dtype=torch.float64) * shares[:, -1:]
        chosen = torch.searchsorted(shares, u, right=True).clamp_max(shares.shape[1] - 1)
        logistics = self.weight.shape[1]
        k = chosen.clamp_max(logistics - 1)
        # Strictly inside (0, 1), as TableModel draws: the furthest logistic is 37 scales out.
        v = torch.rand(shape, generator=generator, dtype=torch.float64).clamp(2**-53, 1 - 2**-53)
        found = self.values.unline(self.loc.gather(-1, k) + self.scale.gather(-1, k) * torch.logit(v), 0)
        for i, atom in enumerate(self.atoms):
            found = torch.where(chosen == logistics + i, atom, found)
        return found

    def _up_to(self, t: Tensor) -> Tensor:
        """F at t, (rows, levels) -> (rows, levels)."""
        z = (t.unsqueeze(-1) - self.loc.unsqueeze(1)) / self.scale.unsqueeze(1)
        below = (self.weight.unsqueeze(1) * torch.sigmoid(z)).sum(-1)
        return below + (self.of_atoms.unsqueeze(1) * (self.places <= t.unsqueeze(-1))).sum(-1)

    def _t(self, y: Tensor) -> Tensor:
        """t of each y, of its cell's upper edge where it has one; ±∞ on a bound and beyond, where t has none."""
        least, most = self.values.support(0)
        step = self.column.step is not None or self.column.kind == "ordinal"
        under, over = (y < least, y >= most) if step else (y <= least, y >= most)
        inside = torch.where(under | over, self.values.inside(0), y).unsqueeze(-1)
        t = (self.values.edges(inside)[1] if step else self.values.line(inside)[0]).squeeze(-1)
        return torch.where(under, -math.inf, torch.where(over, math.inf, t))
