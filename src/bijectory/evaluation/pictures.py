"""What a person wants to see of a model, as plain arrays: evaluators that look while training runs, and once at the end.

A ``Picture`` is a name and arrays; nothing is drawn here. Figures are drawn from the arrays later and elsewhere (figures/), alike for the
page and for TensorBoard. The names and what they hold, for data of d = 1 or 2 columns and grids of that many dimensions:

    frame       every look   low, high (d,); log_density (cells…); latents (n, d); labels (n,) or none; for d = 1 also cdf (cells,)
    density     the end      low, high (d,); log_density (cells…), log_truth (cells…) where the truth is known
    samples     the end      samples (n, d), data (n, d)
    latents     the end      x (n, d), latents (n, d), labels (n,) or none
    grid        d = 2        x, latents (lines, points, 2) with NaN where there are no data; family (lines,): which coordinate is constant
    map         d = 1        x (points,), cdf (points,), and true_cdf (points,) where the truth is known
    uniformity  the end      split (0 train, 1 test), latent, group (−1 all, else the label), distance, p, n, each (rows,)

``latents`` are seen through the base's CDF, in the unit square or interval. Grids are given at the middles of their cells, x1 along
the last axis.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.splits import Rows, Splits
from ..errors import InputError
from ..models.base import LatentModel
from ..numerics.seeds import generator_for
from .likelihood import Score, log_prob_rows
from .uniformity import uniformity

#: Rows on which uniformity is measured, of each split.
UNIFORMITY_ROWS = 20_000


@dataclass(frozen=True)
class Picture:
    """Something to be seen: a name and the arrays it is drawn from."""

    name: str
    arrays: dict[str, NDArray[Any]]


class Pictures(abc.ABC):
    """An evaluator that yields pictures: ``__call__`` every ``every`` steps, ``portrait`` once, of the model that was kept."""

    every: int

    @abc.abstractmethod
    def __call__(self, step: int) -> Iterable[Picture | Score]:
        """What is looked at while training runs."""

    @abc.abstractmethod
    def portrait(self) -> Iterable[Picture]:
        """What is looked at when training is over and the best weights are in place."""


class DensityPictures(Pictures):
    """Pictures of a model of one or two columns: density, samples, latents, the map, and how uniform the latents are.

    A look takes a grid of ``cells`` a side and ``points`` labelled training rows; the portrait ``fine`` cells and ``draws`` samples.
    ``small`` is for smoke runs: everything there, in a blink.
    Raises InputError for data of more columns, or with a context, which have no one density to look at.
    """

    def __init__(
        self,
        model: LatentModel,
        splits: Splits,
        every: int,
        *,
        cells: int = 80,
        points: int = 2000,
        fine: int = 240,
        draws: int = 5000,
        small: bool = False,
    ) -> None:
        if model.event_shape not in ((1,), (2,)) or splits.train.context is not None:
            raise InputError(
                f"model: expected events of one or two columns and no context, got {model.event_shape} and "
                f"{model.context_dim} features of context; leave these pictures out of the recipe's evaluators"
            )
        self.model, self.splits, self.every = model, splits, max(1, every)
        if small:
            cells, points, fine, draws = 24, 200, 48, 200
        self.cells, self.fine, self.draws = cells, fine, draws
        #: Lines of the mapped grid in each direction, and points on each.
        self.lines = (13, 60) if small else (49, 300)
        self.dims = model.event_shape[0]
        self.low, self.high = box(splits.train.x)
        self.shown = splits.train.select(slice(0, points))

    def __call__(self, step: int) -> Iterator[Picture]:
        self.model.eval()
        grid = self._grid(self.cells)
        frame = {**self._box(), "log_density": self._density(self.model, grid)}
        if self.dims == 1:
            frame["cdf"] = _latents(self.model, grid).squeeze(-1)
        yield Picture("frame", {**frame, **self._shown(self.model)})
        self.model.train()

    def portrait(self) -> Iterator[Picture]:
        """All of the kept model, in float64 on the CPU, as its scores are computed."""
        model = copy.deepcopy(self.model).double().cpu().eval()
        truth, test = self.splits.truth, self.splits.test
        grid = self._grid(self.fine if self.dims == 2 else self.fine * 4)
        density = {**self._box(), "log_density": self._density(model, grid)}
        if truth is not None:
            density["log_truth"] = truth(grid.double().cpu()).float().numpy()
        yield Picture("density", density)
        with torch.inference_mode():
            drawn = model.sample(self.draws, generator=generator_for(0, "portrait"))
        yield Picture("samples", {"samples": _array(drawn), "data": _array(test.x[: self.draws])})
        yield Picture("latents", {"x": _array(self.shown.x), **self._shown(model)})
        if self.dims == 2:
            yield Picture("grid", self._mapped_grid(model))
        else:
            line = {"x": _array(grid.squeeze(-1)), "cdf": _latents(model, grid).squeeze(-1)}
            if truth is not None:
                width = (self.high - self.low).item() / len(grid)
                # At the middle of a cell half of the cell's own mass lies below.
                mass = np.exp(density["log_truth"].astype(np.float64)) * width
                line["true_cdf"] = (np.cumsum(mass) - mass / 2).astype(np.float32)
            yield Picture("map", line)
        yield Picture("uniformity", self._uniformity(model))

    def _box(self) -> dict[str, NDArray[Any]]:
        return {"low": self.low.numpy(), "high": self.high.numpy()}

    def _grid(self, cells: int) -> Tensor:
        """The middles of the cells, (cells…, d), x1 along the last axis of the grid."""
        middles = (torch.arange(cells) + 0.5) / cells
        axes = [low + (high - low) * middles for low, high in zip(self.low, self.high, strict=True)]
        return torch.stack(torch.meshgrid(*axes, indexing="xy"), -1).to(self.splits.train.x)

    def _density(self, model: LatentModel, grid: Tensor) -> NDArray[np.float32]:
        rows = grid.reshape(-1, self.dims).to(_like(model))
        return _array(log_prob_rows(model, rows).reshape(grid.shape[:-1]))

    def _shown(self, model: LatentModel) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {"latents": _latents(model, self.shown.x)}
        if self.shown.labels is not None:
            found["labels"] = self.shown.labels.cpu().numpy().astype(np.int16)
        return found

    def _mapped_grid(self, model: LatentModel) -> dict[str, NDArray[Any]]:
        """Lines of a regular grid in x and where the map takes them, only where the model finds data likely.

        Elsewhere the map is free to do anything, and its lines would cover those that mean something.
        """
        lines, points = self.lines
        across = torch.linspace(0, 1, lines, dtype=torch.float64)[:, None].expand(lines, points)
        along = torch.linspace(0, 1, points, dtype=torch.float64).expand(lines, points)
        unit = torch.cat([torch.stack([across, along], -1), torch.stack([along, across], -1)])
        x = self.low.double() + (self.high - self.low).double() * unit
        least = log_prob_rows(model, self.shown.x.double().cpu()).quantile(0.01)
        seen = log_prob_rows(model, x.reshape(-1, 2)).reshape(x.shape[:-1]) >= least
        latents = np.full(x.shape, np.nan, dtype=np.float32)
        latents[seen.numpy()] = _latents(model, x[seen])
        x[~seen] = torch.nan
        return {"x": _array(x), "latents": latents, "family": np.repeat(np.arange(2, dtype=np.int16), lines)}

    def _uniformity(self, model: LatentModel) -> dict[str, NDArray[Any]]:
        rows = []
        for index, part in enumerate((self.splits.train, self.splits.test)):
            part = part.select(slice(0, UNIFORMITY_ROWS))
            u = _latents(model, part.x, torch.float64)
            for group, members in _groups(part):
                for latent in range(self.dims):
                    found = uniformity(u[members, latent])
                    rows.append((index, latent, group, found.distance, found.p, found.n))
        names = ("split", "latent", "group", "distance", "p", "n")
        kinds = (np.int16, np.int16, np.int16, np.float64, np.float64, np.int64)
        columns = zip(names, kinds, zip(*rows, strict=True), strict=True)
        return {name: np.array(values, dtype=kind) for name, kind, values in columns}


def box(x: Tensor) -> tuple[Tensor, Tensor]:
    """The corners of what is looked at: (−4, 4) in each column whose rows fit in it and fill a quarter of it, else the rows' own range.

    x (rows, d) -> (d,), (d,). A thousandth of the rows at either end is left out of the range, and a tenth of it added as a margin.
    """
    ends = x.detach().cpu().double()[:100_000].quantile(torch.tensor([0.001, 0.999], dtype=torch.float64), dim=0)
    low, high = ends[0], ends[1]
    homework = (low >= -4) & (high <= 4) & (high - low >= 2)
    margin = 0.1 * (high - low)
    return torch.where(homework, -4.0, low - margin).float(), torch.where(homework, 4.0, high + margin).float()


def _groups(rows: Rows) -> Iterator[tuple[int, Any]]:
    yield -1, slice(None)
    if rows.labels is not None:
        labels = rows.labels.cpu().numpy()
        yield from ((int(label), labels == label) for label in np.unique(labels))


def _like(model: LatentModel) -> Tensor:
    return next(chain(model.parameters(), model.buffers()))


def _latents(model: LatentModel, x: Tensor, dtype: torch.dtype = torch.float32) -> NDArray[Any]:
    with torch.inference_mode():
        flat = x.reshape(-1, *model.event_shape).to(_like(model))
        u = torch.cat([model.latent_cdf(model.encode(rows)) for rows in flat.split(16384)])
    return u.reshape(x.shape).cpu().to(dtype).numpy()


def _array(x: Tensor) -> NDArray[np.float32]:
    return x.detach().cpu().float().numpy()
