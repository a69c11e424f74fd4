"""What a person wants to see of a model of pictures, as plain arrays of integers: samples, interpolations, neighbours, the round trip.

Pictures are stored as they are counted, 0 … levels − 1, (n, channels, height, width); every array set also holds ``levels``. The names:

    image_frame           every look   samples (n, …) from the same latents at every look
    image_samples         the end      samples (n, …), data (n, …) of the test split
    image_interpolations  the end      rows (pairs, steps, …) from one held-out picture to another, ends (pairs, 2, …) as they were
    image_neighbours      the end      samples, nearest (k, …): those samples that lie closest to a training picture, and it;
                                       shown (k,) which they are; distance, row (n,) of every sample; held_out (m,) distances;
                                       mirrored (n,) whether the training picture had to be mirrored
    image_round_trip      the end      pictures, exact: how many went through the latents, and came back the same; values, wrong: the
                                       same of single values; largest: the greatest difference in levels

Distances are Euclidean, in levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.splits import Splits
from ..errors import InputError, NumericError
from ..models.base import IntegerModel
from ..numerics.seeds import generator_for
from .pictures import Picture, Pictures

#: Training pictures that are compared at once, and candidates whose distance is then computed exactly.
BLOCK, CANDIDATES = 4096, 4


class ImagePictures(Pictures):
    """Pictures of a model of integer pictures, which runs as it is: on its device, in its precision, ``chunk`` pictures at a time.

    A look draws ``shown`` samples from latents that stay the same, so that one sees them form. The portrait draws ``draws`` samples,
    walks between ``pairs`` pairs of test pictures in ``steps`` pictures each, both ends among them, and finds the training picture next to
    each sample and to ``held_out`` test pictures; with ``flips``, which is how the model was trained then, also among mirrored ones.
    The round trip takes ``rows`` test pictures, by default all. ``small`` is for smoke runs: everything there, in a blink.
    Raises InputError for a model of anything but pictures (channels, height, width), or with a context.
    """

    def __init__(
        self,
        model: IntegerModel,
        splits: Splits,
        every: int,
        *,
        shown: int = 25,
        draws: int = 100,
        pairs: int = 5,
        steps: int = 8,
        neighbours: int = 16,
        held_out: int = 500,
        rows: int | None = None,
        flips: bool = False,
        chunk: int = 128,
        small: bool = False,
    ) -> None:
        if not isinstance(model, IntegerModel) or len(model.event_shape) != 3 or splits.train.context is not None:
            raise InputError(
                f"model: expected integer pictures (channels, height, width) and no context, got {type(model).__name__} of events "
                f"{tuple(model.event_shape)} with {model.context_dim} features of context; leave these pictures out of the recipe's "
                "evaluators"
            )
        if small:
            shown, draws, pairs, steps, neighbours, held_out, rows, chunk = 9, 16, 2, 4, 4, 20, 32, 32
        self.model, self.splits, self.every = model, splits, max(1, every)
        self.shown, self.draws, self.pairs, self.steps = shown, draws, pairs, steps
        self.neighbours, self.held_out, self.rows, self.flips, self.chunk = neighbours, held_out, rows, flips, chunk

    def __call__(self, step: int) -> Iterator[Picture]:
        try:
            samples = self._sample(self.shown, "look")
        except NumericError:
            # Weights on their way out of bounds may decode to NaN. A look is no reason to end a run: the loop's gate says what is wrong.
            return
        yield self._picture("image_frame", samples=samples)

    def portrait(self) -> Iterator[Picture]:
        """All of the kept model."""
        test = self.splits.test.x
        samples = self._sample(self.draws, "portrait")
        data = test[_some(len(test), self.draws, "data").to(test.device)].cpu()
        yield self._picture("image_samples", samples=samples, data=data)
        yield self._interpolations(test)
        yield self._neighbours(samples, test)
        yield self._round_trip(test)

    def _picture(self, name: str, **arrays: Tensor | NDArray[Any] | int) -> Picture:
        return Picture(name, {key: self._stored(x) for key, x in {"levels": self.model.levels, **arrays}.items()})

    def _stored(self, x: Tensor | NDArray[Any] | int) -> NDArray[Any]:
        if not isinstance(x, Tensor):
            return np.asarray(x)
        return x.cpu().numpy().astype(np.min_scalar_type(self.model.levels - 1))

    def _sample(self, count: int, key: str) -> Tensor:
        with _resting(self.model) as device:
            generator = generator_for(0, "images", key, device=device)
            sizes = [min(self.chunk, count - start) for start in range(0, count, self.chunk)]
            return torch.cat([self.model.sample(size, generator=generator).cpu() for size in sizes])

    def _interpolations(self, test: Tensor) -> Picture:
        picked = _some(len(test), 2 * self.pairs, "pairs")
        ends = test[picked[: len(picked) // 2 * 2].to(test.device)].unflatten(0, (-1, 2))
        return self._picture("image_interpolations", rows=interpolate(self.model, ends, self.steps), ends=ends)

    def _neighbours(self, samples: Tensor, test: Tensor) -> Picture:
        train = self.splits.train.x
        distance, row, mirrored = nearest(samples, train, flips=self.flips)
        others = test[_some(len(test), self.held_out, "held out").to(test.device)]
        held_out = nearest(others, train, flips=self.flips)[0]
        shown = distance.argsort(stable=True)[: self.neighbours]
        found = train[row[shown].to(train.device)].cpu()
        found = torch.where(mirrored[shown, None, None, None], found.flip(-1), found)
        return self._picture(
            "image_neighbours",
            samples=samples[shown],
            nearest=found,
            shown=shown.numpy(),
            distance=distance.numpy(),
            row=row.numpy(),
            mirrored=mirrored.numpy(),
            held_out=held_out.numpy(),
        )

    def _round_trip(self, test: Tensor) -> Picture:
        exact, wrong, largest = 0, 0, 0
        rows = test[: self.rows]
        with _resting(self.model) as device:
            for x in rows.split(self.chunk):
                x = x.to(device)
                back = self.model.decode(self.model.encode(x))
                off = (back.long() - x.long()).abs().flatten(1)
                exact += int((off.amax(1) == 0).sum())
                wrong += int((off > 0).sum())
                largest = max(largest, int(off.max()))
        counts = {"pictures": len(rows), "exact": exact, "values": rows.numel(), "wrong": wrong, "largest": largest}
        return self._picture("image_round_trip", **counts)


def interpolate(model: IntegerModel, ends: Tensor, steps: int) -> Tensor:
    """Pictures whose latents lie evenly on the straight line between those of two others: (pairs, 2, *event) -> (pairs, steps, *event).

        x_i = decode((1 − t_i) encode(a) + t_i encode(b)),   t_i = i / (steps − 1)

    The first and the last of a row are the ends themselves, through encode and decode. Integers on the CPU; the model is left as it was.
    Raises InputError for fewer than two steps, ShapeError for pictures of another shape than the model's.
    """
    if steps < 2:
        raise InputError(f"steps: expected at least 2, the two ends, got {steps}")
    with _resting(model) as device:
        z = model.encode(ends.to(device).flatten(0, 1)).unflatten(0, (-1, 2))
        rows = []
        for first, last in z.unbind(0):
            t = torch.linspace(0, 1, steps, dtype=z.dtype, device=device).reshape(-1, *[1] * first.dim())
            rows.append(model.decode(torch.lerp(first, last, t)).cpu())
        return torch.stack(rows)


def nearest(x: Tensor, train: Tensor, *, flips: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The training picture nearest to each x: Euclidean distance in levels, float64; its row; whether it had to be mirrored; (n,) each.

    x (n, *event), train (rows, *event), integers. ``flips`` admits mirrored training pictures too. A product of matrices finds a few
    candidates, whose distances are then computed in integers: rounding decides nothing and no distance is off.
    """
    queries = torch.cat([x, x.flip(-1)]) if flips else x
    queries = queries.to(train.device)
    flat = queries.flatten(1)
    # Around the middle of the range the products are smallest, and with them what float32 rounds away.
    middle = float(train[:BLOCK].float().mean())
    centred = flat.float() - middle
    best = torch.full((len(flat), CANDIDATES), torch.inf, device=train.device)
    rows = torch.zeros((len(flat), CANDIDATES), dtype=torch.long, device=train.device)
    with torch.inference_mode():
        for start in range(0, len(train), BLOCK):
            block = train[start : start + BLOCK].flatten(1).float() - middle
            # ‖q − t‖² without ‖q‖², which is the same for all t
            squares = block.square().sum(1) - 2 * (centred @ block.T)
            few = squares.topk(min(CANDIDATES, len(block)), 1, largest=False)
            best, order = torch.cat([best, few.values], 1).topk(CANDIDATES, 1, largest=False)
            rows = torch.cat([rows, few.indices + start], 1).gather(1, order)
        exact = torch.stack(
            [(train[rows[:, i]].flatten(1).long() - flat.long()).square().sum(1) for i in range(CANDIDATES)], 1
        )
        least, which = exact.min(1)
    row = rows.gather(1, which[:, None])[:, 0]
    distance, row = least.double().sqrt().cpu(), row.cpu()
    if not flips:
        return distance, row, torch.zeros(len(x), dtype=torch.bool)
    plain, turned = distance.chunk(2)
    mirrored = turned < plain
    return torch.minimum(plain, turned), torch.where(mirrored, row[len(x) :], row[: len(x)]), mirrored


def _some(rows: int, count: int, key: str) -> Tensor:
    """Which rows are shown: the same of the same data in every run, so that runs can be compared."""
    return torch.randperm(rows, generator=generator_for(0, "images", key))[:count]


@contextmanager
def _resting(model: IntegerModel) -> Iterator[torch.device]:
    """The model as it is judged, without gradients, on its device; then every part of it as it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield next(chain(model.parameters(), model.buffers())).device
    finally:
        for part, training in modes:
            part.training = training
