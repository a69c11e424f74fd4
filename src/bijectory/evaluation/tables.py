"""What a person wants to see of a density of a typed table, as plain arrays: held-out rows beside samples, and which rows stand out.

Nothing is looked at while training runs. Where arrays hold several sets of rows they come in the order held out, samples, training rows.
The last, as many if there are so many, say how far apart two sets of the same data are by chance. The names, for k columns that say
something (copies and constants do not), of a conditional density preceded by what is given where pairs are looked at:

    table_marginals     name, axis (linear, log, words) (k,), knee, edges (k, bars + 1), words (k, bars), bars (k,);
                        counts (k, sets, bars + 1), the last of them missing values; apart (k, 2): the share of the samples, and of the
                        training rows, that would have to move to other bars
    table_pairs         name, axis, knee, low, high (m,): the m columns of numbers that are in a pair; pair (p, 2) of them, those that go
                        together most; rho (p, 2) held out and of samples; data, samples (n, m)
    table_correlations  name, words (k,), values (sets, k, k): Spearman's ρ, Cramér's V where a column of words is in it; columns, how
                        many there are: the most related are shown
    table_calibration   name, words (k + 1,), counts (k + 1, bins), distance, p (k + 1,), n: u = F(value | columns before) of held-out rows,
                        uniform where the model is true, randomised within atoms, words and cells; in the last row u of all columns
    table_rows          columns (c,), least, most (5, c) the least and most likely rows, in words; least_nats, most_nats (5,) of −log p;
                        culprit, culprit_value, culprit_nats (5,): which column costs a least likely row most beyond that column's median
                        row; median_nats, rows: how many were scored; left: columns that are not shown

All columns together: Σ Φ⁻¹(u_i)² is χ² of k degrees of freedom where the model is true, its u uniform.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.encoding import decode
from ..data.frames import Text
from ..data.kinds import Column
from ..data.splits import Rows, Splits
from ..errors import InputError
from ..models.base import ColumnModel, SampleModel
from ..numerics.seeds import generator_for
from .associations import correlations, pairs
from .likelihood import Score
from .marginals import cut, marginals, says_something
from .pictures import Picture, Pictures
from .uniformity import uniformity

Floats = NDArray[np.float64]

#: Rows of each set that are compared, and columns × columns × rows above which they are fewer: a sample takes a pass of the network for
#: each of its columns.
ROWS, WORK = 2500, 4_000_000
#: Rows in one pass of the model.
CHUNK = 2048
#: Bins of a PIT, least and most likely rows that are shown, and their columns.
BINS, ENDS, WIDE = 20, 5, 12


class TablePictures(Pictures):
    """Pictures of a density of a typed table, made once, of the kept model in float64 on the CPU: columns alone and in pairs, their
    associations, how calibrated each is given those before it, the least and the most likely of the held-out rows.

    ``rows`` of each set are compared, fewer of wide tables; four times as many test rows, where there are so many, are scored.
    ``small`` is for smoke runs: everything there, in a blink.
    Raises InputError for a model or rows that know no kinds of columns.
    """

    def __init__(self, model: SampleModel, splits: Splits, *, rows: int = ROWS, small: bool = False) -> None:
        if not isinstance(model, ColumnModel) or not splits.kinds:
            raise InputError(
                f"model: expected a density of typed columns and splits that name their kinds, got {type(model).__name__} and "
                f"{len(splits.kinds)} kinds; leave these pictures out of the recipe's evaluators"
            )
        self.model, self.splits, self.every = model, splits, sys.maxsize
        columns = len(splits.kinds) + len(splits.context_kinds)
        rows = 60 if small else min(rows, max(200, WORK // columns**2))
        self.rows, self.scored = rows, 4 * rows

    def __call__(self, step: int) -> Iterator[Score]:
        """Nothing: what there is to see of a table is no film."""
        return iter(())

    def portrait(self) -> Iterator[Picture]:
        """All of the kept model."""
        model = copy.deepcopy(self.model).double().cpu().eval()
        held = _some(self.splits.test, self.rows, "test")
        drawn = sampled(model, held)
        sets = [
            _matrix(held),
            _matrix(Rows(drawn, held.context)),
            _matrix(_some(self.splits.train, len(held), "train")),
        ]
        kinds = [*self.splits.context_kinds, *self.splits.kinds]
        given = len(self.splits.context_kinds)
        own = [i for i in range(given, len(kinds)) if says_something(kinds[i])]
        if own:
            yield Picture("table_marginals", marginals([s[:, own] for s in sets], [kinds[i] for i in own]))
        both = [i for i, kind in enumerate(kinds) if says_something(kind)]
        inside = sum(i < given for i in both)
        if len(both) > 1 and len(both) > inside:
            chosen, found = [kinds[i] for i in both], [s[:, both] for s in sets]
            together = pairs(found, chosen, inside)
            if together is not None:
                yield Picture("table_pairs", together)
            yield Picture("table_correlations", correlations(found, chosen))
        scored = _some(self.splits.test, self.scored, "test")
        logs, low, high = _by_column(model, scored)
        places = [i - given for i in own]
        if places:
            yield Picture("table_calibration", _calibration(low[:, places], high[:, places], [kinds[i] for i in own]))
        yield Picture("table_rows", self._likely(scored, logs))

    def _likely(self, scored: Rows, logs: Floats) -> dict[str, NDArray[np.generic]]:
        nats = -logs.sum(1)
        order = np.argsort(-nats, kind="stable")
        ends = min(ENDS, (len(order) + 1) // 2)
        least, most = order[:ends], order[max(ends, len(order) - ends) :][::-1]
        beyond = np.median(logs, 0) - logs[least]
        culprit = beyond.argmax(1)
        kinds = self.splits.kinds
        words = _written(_array(scored.x), kinds, np.concatenate([least, most]))
        names = [cut(kind.name) for kind in kinds]
        shown = [i for i, kind in enumerate(kinds) if kind.kind != "copy"][:WIDE]
        table, heads = words[:, shown], [names[i] for i in shown]
        if scored.context is not None:
            given = self.splits.context_kinds[:WIDE]
            context = _written(_array(scored.context)[:, : len(given)], given, np.concatenate([least, most]))
            table, heads = (
                np.concatenate([context, table], 1),
                [*(f"given {cut(kind.name)}" for kind in given), *heads],
            )
        return {
            "columns": np.array(heads),
            "least": table[:ends],
            "most": table[ends:],
            "least_nats": nats[least],
            "most_nats": nats[most],
            "culprit": np.array([names[i] for i in culprit]),
            "culprit_value": words[np.arange(ends), culprit],
            "culprit_nats": beyond[np.arange(ends), culprit],
            "median_nats": np.asarray(np.median(nats)),
            "rows": np.asarray(len(nats)),
            "left": np.asarray(len(kinds) + len(self.splits.context_kinds) - len(heads)),
        }


def sampled(model: ColumnModel, rows: Rows) -> Tensor:
    """A sample for each of the rows, given its context where there is one: (rows, columns), the same for the same model and rows."""
    generator = generator_for(0, "table", "samples")
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), CHUNK):
            part = rows.select(slice(start, start + CHUNK))
            if part.context is None:
                parts.append(model.sample(len(part), generator=generator))
            else:
                parts.append(model.sample((), part.context, generator=generator))
    return torch.cat(parts)


def _calibration(low: Floats, high: Floats, columns: Sequence[Column]) -> dict[str, NDArray[np.generic]]:
    draws = torch.rand(low.shape, generator=generator_for(0, "table", "pit"), dtype=torch.float64).numpy()
    u = (low + (high - low) * draws).clip(0.0, 1.0)  # sums of probabilities may end at 1 + 1e-16
    squares = torch.special.ndtri(torch.from_numpy(u)).square().sum(1)
    # A value so far out that its u is 0 or 1 in float64 has an infinite square, whose χ² probability is 1.
    half = torch.tensor(u.shape[1] / 2, dtype=torch.float64)
    joint = torch.where(torch.isinf(squares), 1.0, torch.special.gammainc(half, squares.clamp_max(1e300) / 2)).numpy()
    every = [*u.T, joint]
    tests = [uniformity(one) for one in every]
    return {
        "name": np.array([*(column.name for column in columns), "all columns together"]),
        "words": np.array([*(column.kind == "categorical" for column in columns), False]),
        "counts": np.stack([np.histogram(one, BINS, (0.0, 1.0))[0] for one in every]),
        "distance": np.array([test.distance for test in tests]),
        "p": np.array([test.p for test in tests]),
        "n": np.asarray(len(u)),
    }


def _by_column(model: ColumnModel, rows: Rows) -> tuple[Floats, Floats, Floats]:
    """log p of each column given those before, and where its value lies in its distribution, thrice (rows, columns)."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for start in range(0, len(rows), CHUNK):
            part = rows.select(slice(start, start + CHUNK))
            parts.append((model.columns_log_prob(part.x, part.context), *model.cdf(part.x, part.context)))
    logs, low, high = (torch.cat(found).numpy() for found in zip(*parts, strict=True))
    return logs, low, high


def _some(rows: Rows, count: int, key: str) -> Rows:
    """Some of the rows, float64 on the CPU: the same of the same data in every run, so that runs can be compared."""
    picked = torch.randperm(len(rows), generator=generator_for(0, "table", key))[:count].to(rows.x.device)
    part = rows.select(picked)
    return Rows(part.x.double().cpu(), None if part.context is None else part.context.double().cpu())


def _matrix(rows: Rows) -> Floats:
    return _array(rows.x if rows.context is None else torch.cat([rows.context, rows.x], -1))


def _array(x: Tensor) -> Floats:
    return x.detach().cpu().double().numpy()


def _written(matrix: Floats, kinds: Sequence[Column], rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """Encoded rows as a person reads them, "missing" for what is."""
    columns = []
    for values in decode(matrix[rows], kinds).columns:
        if isinstance(values, Text):
            columns.append(["missing" if word is None else cut(word) for word in values.listed()])
        else:
            columns.append(["missing" if value != value else _number(float(value)) for value in values])  # type: ignore[union-attr]
    return np.array(columns).T.reshape(len(rows), len(kinds))


def _number(value: float) -> str:
    # Added to 0, −0 is 0.
    return f"{value + 0.0:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.7g}"
