"""What a person wants to see of a model of pictures, as plain arrays of integers: samples, interpolations, neighbours, the round trip.

Pictures are stored as they are counted, 0 … levels − 1, (n, channels, height, width); every array set also holds ``levels``. The names:

    image_frame           every look   samples (n, …) from the same latents at every look
    image_samples         the end      samples (n, …), data (n, …) of the test split
    image_temperatures    the end      temperatures (t,), samples (t, n, …): the same latents times each; of a Normal base only
    image_interpolations  the end      rows (pairs, steps, …) from one held-out picture to another, ends (pairs, 2, …) as they were
    image_walks           the end      of more such ways: nats (pairs, steps), the bound of each picture of them; change
                                       (pairs, steps − 1) from one to the next and direct (pairs,) from end to end, mean absolute share
                                       of the range; blend (pairs,), the bound halfway between the ends where pixels are averaged
    image_neighbours      the end      samples, nearest (k, …): those samples that lie closest to a training picture, and it;
                                       shown (k,) which they are; distance, row (n,) of every sample; held_out (m,) distances;
                                       mirrored (n,) whether the training picture had to be mirrored
    image_round_trip      the end      pictures, exact: how many went through the latents, and came back the same; values, wrong: the
                                       same of single values; largest: the greatest difference in levels
    image_cost            the end      parameters; score, sample (repeats,): seconds of the bound, from one draw, and of samples, for so
                                       many pictures; threads, device

Distances are Euclidean, in levels. Bounds are joint nats, one draw of the noise for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.splits import Splits
from ..distributions.base import Normal
from ..errors import InputError, NumericError
from ..models.base import IntegerModel
from ..numerics.seeds import generator_for
from .cost import seconds_of
from .likelihood import bound_rows
from .neighbours import nearest
from .pictures import Picture, Pictures

#: At which temperatures samples are shown: what the latents of a Normal base are multiplied by (Glow, arXiv:1807.03039, section 6).
TEMPERATURES = (0.7, 0.8, 0.9, 1.0)
#: Seconds after which a clock stops repeating what it times.
PATIENCE = 1.0


class ImagePictures(Pictures):
    """Pictures of a model of integer pictures, which runs as it is: on its device, in its precision, ``chunk`` pictures at a time.

    A look draws ``shown`` samples from latents that stay the same, so that one sees them form. The portrait draws ``draws`` samples, and
    ``heated`` latents at every temperature; walks between ``pairs`` pairs of test pictures in ``steps`` pictures each, both ends among
    them, and finds the training picture next to each sample and to ``held_out`` test pictures; with ``flips``, which is how the model was
    trained then, also among mirrored ones. What lies between pictures is measured on ``walks`` pairs, the cost on ``timed`` pictures.
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
        heated: int = 8,
        pairs: int = 5,
        steps: int = 8,
        walks: int = 50,
        neighbours: int = 16,
        held_out: int = 500,
        rows: int | None = None,
        timed: int = 64,
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
            shown, draws, heated, pairs, steps, walks = 9, 16, 4, 2, 4, 3
            neighbours, held_out, rows, timed, chunk = 4, 20, 32, 4, 32
        self.model, self.splits, self.every = model, splits, max(1, every)
        self.shown, self.draws, self.heated = shown, draws, heated
        self.pairs, self.steps, self.walks, self.timed = pairs, steps, walks, timed
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
        if isinstance(self.model.model.base, Normal):
            yield self._temperatures()
        if len(test) > 1:
            yield self._interpolations(test)
            yield self._walks(test)
        yield self._neighbours(samples, test)
        yield self._round_trip(test)
        yield self._cost(test)

    def _picture(self, name: str, **arrays: Tensor | NDArray[Any] | int) -> Picture:
        return Picture(name, {key: self._stored(x) for key, x in {"levels": self.model.levels, **arrays}.items()})

    def _stored(self, x: Tensor | NDArray[Any] | int) -> NDArray[Any]:
        if not isinstance(x, Tensor):
            return np.asarray(x)
        return x.cpu().numpy().astype(np.min_scalar_type(self.model.levels - 1))

    def _sample(self, count: int, key: str) -> Tensor:
        with resting(self.model) as device:
            generator = generator_for(0, "images", key, device=device)
            sizes = [min(self.chunk, count - start) for start in range(0, count, self.chunk)]
            return torch.cat([self.model.sample(size, generator=generator).cpu() for size in sizes])

    def _temperatures(self) -> Picture:
        """What ``Quantised.sample`` gives at each temperature, from latents that are drawn once."""
        with resting(self.model) as device:
            z = self.model.model.base.sample(
                (self.heated,), generator=generator_for(0, "images", "heat", device=device)
            )
            samples = torch.stack([self.model.decode(t * z).cpu() for t in TEMPERATURES])
        return self._picture("image_temperatures", temperatures=np.array(TEMPERATURES), samples=samples)

    def _interpolations(self, test: Tensor) -> Picture:
        ends = _pairs(test, self.pairs, "pairs")
        return self._picture("image_interpolations", rows=interpolate(self.model, ends, self.steps), ends=ends)

    def _walks(self, test: Tensor) -> Picture:
        """Whether the pictures between are as likely as those at the ends, and how evenly they change; five on every way."""
        ends = _pairs(test, self.walks, "walks").cpu()
        rows = interpolate(self.model, ends, 5)
        blend = ends.double().mean(1).round().to(rows.dtype)
        share = rows.double() / (self.model.levels - 1)
        with resting(self.model) as device:
            nats = bound_rows(self.model, rows.flatten(0, 1).to(device)).unflatten(0, rows.shape[:2])
            blended = bound_rows(self.model, blend.to(device))
        return self._picture(
            "image_walks",
            nats=nats.numpy(),
            blend=blended.numpy(),
            change=share.diff(dim=1).abs().flatten(2).mean(2).numpy(),
            direct=(share[:, -1] - share[:, 0]).abs().flatten(1).mean(1).numpy(),
        )

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
        with resting(self.model) as device:
            for x in rows.split(self.chunk):
                x = x.to(device)
                back = self.model.decode(self.model.encode(x))
                off = (back.long() - x.long()).abs().flatten(1)
                exact += int((off.amax(1) == 0).sum())
                wrong += int((off > 0).sum())
                largest = max(largest, int(off.max()))
        counts = {"pictures": len(rows), "exact": exact, "values": rows.numel(), "wrong": wrong, "largest": largest}
        return self._picture("image_round_trip", **counts)

    def _cost(self, test: Tensor) -> Picture:
        with resting(self.model) as device:
            x = test[: self.timed].to(device)
            generator = generator_for(0, "images", "cost", device=device)
            noise = self.model.draw_noise((len(x),), generator=generator, like=x)
            jobs = {
                "score": lambda: self.model.log_prob_bound(x, noise=noise),
                "sample": lambda: self.model.sample(len(x), generator=generator),
            }
            seconds = {name: np.array(_clock(job, device)) for name, job in jobs.items()}
        return self._picture(
            "image_cost",
            pictures=len(x),
            parameters=sum(weight.numel() for weight in self.model.parameters()),
            threads=torch.get_num_threads(),
            device=np.array(device.type),
            **seconds,
        )


def interpolate(model: IntegerModel, ends: Tensor, steps: int) -> Tensor:
    """Pictures whose latents lie evenly on the straight line between those of two others: (pairs, 2, *event) -> (pairs, steps, *event).

        x_i = decode((1 − t_i) encode(a) + t_i encode(b)),   t_i = i / (steps − 1)

    The first and the last of a row are the ends themselves, through encode and decode. Integers on the CPU; the model is left as it was.
    Raises InputError for fewer than two steps, ShapeError for pictures of another shape than the model's.
    """
    if steps < 2:
        raise InputError(f"steps: expected at least 2, the two ends, got {steps}")
    with resting(model) as device:
        z = model.encode(ends.to(device).flatten(0, 1)).unflatten(0, (-1, 2))
        rows = []
        for first, last in z.unbind(0):
            t = torch.linspace(0, 1, steps, dtype=z.dtype, device=device).reshape(-1, *[1] * first.dim())
            rows.append(model.decode(torch.lerp(first, last, t)).cpu())
        return torch.stack(rows)


def _clock(job: Callable[[], object], device: torch.device) -> list[float]:
    """Seconds of the job, five times or as often as PATIENCE allows. What comes first pays for what is set up once: it is not counted."""
    first, found = seconds_of(job, device), [seconds_of(job, device)]
    while len(found) < 5 and first + sum(found) < PATIENCE:
        found.append(seconds_of(job, device))
    return found


def _pairs(test: Tensor, count: int, key: str) -> Tensor:
    """At most ``count`` pairs of test pictures, none of them twice: (pairs, 2, *event)."""
    picked = _some(len(test), 2 * count, key)
    return test[picked[: len(picked) // 2 * 2].to(test.device)].unflatten(0, (-1, 2))


def _some(rows: int, count: int, key: str) -> Tensor:
    """Which rows are shown: the same of the same data in every run, so that runs can be compared."""
    return torch.randperm(rows, generator=generator_for(0, "images", key))[:count]


@contextmanager
def resting(model: IntegerModel) -> Iterator[torch.device]:
    """The model as it is judged, without gradients, on its device; then every part of it as it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield next(chain(model.parameters(), model.buffers())).device
    finally:
        for part, training in modes:
            part.training = training
