"""What a model of one column given others says of that number: its distribution function, its quantiles, its mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError, InverseError
from ..numerics.mixture import mixture_bracket, mixture_logit
from ..numerics.roots import solve_increasing
from .table import TableModel

#: The largest exponent of a positive or counted y: ``Columns.unline`` cuts it there, as float64 ends at e^709.
EXPONENT = 700.0
#: So many logistics, over rows and levels, are solved for at once: all of 4,096 rows at 99 levels took thrice the time, and 1 GiB.
AT_ONCE = 2**18
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
        self.log_weight = (log_weight + share).movedim(0, 1).flatten(1)
        self.loc, self.log_scale = loc.movedim(0, 1).flatten(1), log_scale.movedim(0, 1).flatten(1)
        order = sorted(range(len(self.column.atoms)), key=self.column.atoms.__getitem__)
        #: The atoms, ascending (atoms,), their t, and their probabilities (rows, atoms).
        self.atoms = torch.tensor([self.column.atoms[k] for k in order], dtype=torch.float64)
        self.places = self._t(self.atoms)
        of_atoms = log_states[..., 1:].exp().mean(0)[:, order]
        # Softmaxes in float32 add up to 1 within some 1e-7 only: F would end there, below the levels nearest to 1.
        total = self.log_weight.exp().sum(-1, keepdim=True) + of_atoms.sum(-1, keepdim=True)
        self.log_weight = self.log_weight - total.log()
        self.weight, self.scale, self.of_atoms = self.log_weight.exp(), self.log_scale.exp(), of_atoms / total

    def cdf(self, y: Tensor) -> Tensor:
        """P(Y ≤ y | c), (rows, levels) -> (rows, levels)."""
        y = y.double()
        # An atom on the least value has t = −∞, as all that lies below it would.
        return torch.where(y < self.values.support(0)[0], 0.0, self._up_to(self._t(y)))

    def quantile(self, q: Tensor) -> Tensor:
        """The least y with P(Y ≤ y | c) ≥ q: (levels,) -> (rows, levels).

            logit G(t) = log(q − A) − log(1 − q − B),   G(t) = Σ_k w_k σ((t − loc_k) / s_k) / Σ_k w_k

        A and B are the probabilities of the atoms below and above t. Solved on the logit scale, where neither tail is rounded away, by
        bracketed Newton steps to 9e-16 of the larger of 1 and the logit, or to neighbouring numbers where t is too coarse for that; what
        is left is reported to a block of ``bijectory.residuals``. An atom whose jump takes F to q or past it is given as it is.

        Raises InputError for levels outside (0, 1), InverseError where the equation is not solved, as with parameters that are not
        finite, and where the quantile of a positive or counted y lies beyond e^700 (in units of y; of a count, of its middle), which
        float64 does not hold.

        >>> import torch
        >>> from bijectory.data.kinds import Column
        >>> model = TableModel([Column("y", "real")], context_columns=[Column("x", "real")], hidden=8)
        >>> y = Predictive(model, torch.zeros(1, 1))
        >>> q = torch.tensor([1e-30, 0.5])
        >>> torch.allclose(y.cdf(y.quantile(q)), q.double(), rtol=1e-9, atol=0)
        True
        """
        q = q.double()
        if q.dim() != 1 or not bool(((q > 0) & (q < 1)).all()):
            raise InputError(f"q: expected probabilities between 0 and 1, got {q.tolist()}")
        # In order of the levels: two that are neighbours in float64 may have roots that rounding swaps, which cummax puts right.
        q, order = q.sort()
        with torch.no_grad():
            parts = [self._solve(some) for some in q.split(max(1, AT_ONCE // max(1, self.weight.numel())))]
            t, atom = (torch.cat(part, -1) for part in zip(*parts, strict=True))
            found = self.values.unline(t, 0)
        if self.column.kind == "positive" or (self.column.kind == "integer" and self.column.low is not None):
            beyond = (t * self.values.spread.double() + self.values.centre.double() > EXPONENT) & (atom < 0)
            if bool(beyond.any()):
                level = float(q.expand_as(beyond)[beyond][0])
                raise InverseError(
                    f"q: the quantile at {level:.17g} is beyond e^{EXPONENT:g}, expected one that float64 holds; "
                    "ask for a level further from 1, or take the target as real"
                )
        if len(self.atoms):
            found = torch.where(atom >= 0, self.atoms[atom.clamp_min(0)], found)
        return found.cummax(-1).values[:, order.argsort()]

    def _solve(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """t where the values reach each level, and the index of the atom that the level is of instead, else −1: (rows, levels) twice."""
        none = torch.zeros_like(self.weight[:, :1])
        below = torch.cat([none, self.of_atoms.cumsum(-1)], -1).unsqueeze(1)
        above = torch.cat([self.of_atoms.flip(-1).cumsum(-1).flip(-1), none], -1).unsqueeze(1)
        # What G has to be between the atoms, (rows, levels, atoms + 1): −∞ and ∞ where no value there has the level.
        level = q.unsqueeze(-1)
        asked = (level - below).clamp_min(0).log() - (1 - level - above).clamp_min(0).log()
        at = self._logit(self.places.expand(len(self.loc), -1))[0].unsqueeze(1)
        # Atoms that F has jumped on at the level or before it, and those that it has left behind.
        reached, passed = (asked[..., :-1] >= at).sum(-1), (asked[..., 1:] > at).sum(-1)
        here = reached > passed
        target = torch.where(here, 0.0, asked.gather(-1, passed.unsqueeze(-1)).squeeze(-1))
        low, high = mixture_bracket(target, self.loc.unsqueeze(1), self.log_scale.unsqueeze(1), "logistic")
        return solve_increasing(self._logit, target, low, high)[0], torch.where(here, passed, -1)

    def _logit(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The CDF of the values alone on the logit scale, and the log of its slope: (rows, levels) -> (rows, levels) twice."""
        weight, loc, scale = (part.unsqueeze(1) for part in (self.log_weight, self.loc, self.log_scale))
        return mixture_logit(t, weight, loc, scale, "logistic")

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
