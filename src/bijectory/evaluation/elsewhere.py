"""Whether a model of pictures notices pictures of another kind: the bound, and how far it is from what is typical.

The picture, once at the end:

    image_elsewhere   sets (k,) names, the test pictures first; nats (n,) the bound of every picture, one draw of the noise each, and
                      set (n,) the set it is of; train (m,) the bounds of training pictures; missing (j,): what was not scored, and why

Likelihood alone is no detector: flows may give pictures of another set a higher likelihood than those they learned from (Nalisnick,
Matsukawa, Teh, Görür & Lakshminarayanan 2019, arXiv:1810.09136; Choi, Jang & Alemi 2018, arXiv:1810.01392).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.splits import Splits
from ..errors import BijectoryError
from ..models.base import IntegerModel
from ..numerics.seeds import generator_for
from .images import resting
from .likelihood import bound_rows
from .pictures import Picture, Pictures

Floats = NDArray[np.float64]


class Elsewhere(Pictures):
    """Scores ``rows`` pictures each of the test split, of the sets that ``splits.elsewhere`` names, of one value, and of uniform noise.

    A set that cannot be read, or whose pictures are not the model's, is left out and named with the reason: the training is over by
    then, and its run must not be lost. The model runs as it is, on its device and in its precision. ``small`` is for smoke runs.
    """

    def __init__(
        self, model: IntegerModel, splits: Splits, every: int, *, rows: int = 1000, small: bool = False
    ) -> None:
        self.model, self.splits, self.every = model, splits, max(1, every)
        self.rows = 20 if small else rows

    def __call__(self, step: int) -> Iterator[Picture]:
        """Nothing: what a model makes of others is asked once."""
        return iter(())

    def portrait(self) -> Iterator[Picture]:
        """The bounds of all sets."""
        found, missing = {"test pictures": self._bounds(self.splits.test.x)}, []
        for name, read in self.splits.elsewhere.items():
            try:
                found[name] = self._bounds(read())
            except BijectoryError as error:
                missing.append(f"{name}: {error}")
        shape, levels = self.model.event_shape, self.model.levels
        generator = generator_for(0, "elsewhere", "noise")
        # One picture of each value, or as many as there is room for, evenly spread.
        values = torch.linspace(0, levels - 1, min(levels, self.rows)).round().long()
        found["pictures of one value"] = self._bounds(values.reshape(-1, *[1] * len(shape)).expand(-1, *shape))
        found["noise"] = self._bounds(torch.randint(levels, (self.rows, *shape), generator=generator))
        yield Picture(
            "image_elsewhere",
            {
                "sets": np.array(list(found)),
                "nats": np.concatenate(list(found.values())),
                "set": np.repeat(np.arange(len(found), dtype=np.int16), [len(nats) for nats in found.values()]),
                "train": self._bounds(self.splits.train.x),
                "missing": np.array(missing, dtype=np.str_),
            },
        )

    def _bounds(self, x: Tensor) -> Floats:
        picked = torch.randperm(len(x), generator=generator_for(0, "elsewhere"))[: self.rows]
        with resting(self.model) as device:
            nats = bound_rows(self.model, x[picked.to(x.device)].to(device))
        # Far from all it knows a model may run out of numbers; what has no likelihood is not likely.
        return np.nan_to_num(nats.numpy(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)


def auroc(inside: Floats, outside: Floats) -> tuple[float, float]:
    """Probability that an outsider's number is above an insider's, ties by half, and its standard error: (n,), (m,).

        A = P(outside > inside) + ½ P(outside = inside),   error² = var(A | inside) / n + var(A | outside) / m

    1 tells them apart without error, ½ not at all, below ½ the other way round. The area under the ROC curve; its error from the
    placements of each row among the others (DeLong, DeLong & Clarke-Pearson 1988).

    >>> round(auroc(np.array([1.0, 2.0, 3.0]), np.array([2.5, 4.0]))[0], 4)
    0.8333
    """
    below = _placements(inside, outside)
    above = 1 - _placements(outside, inside)
    spread = [x.var(ddof=1) / len(x) if len(x) > 1 else np.nan for x in (below, above)]
    return float(below.mean()), float(np.sqrt(sum(spread)))


def _placements(among: Floats, x: Floats) -> Floats:
    """The share of ``among`` that lies below each x, ties counted by half."""
    ordered = np.sort(among)
    found: Floats = (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right")) / (2 * len(ordered))
    return found
