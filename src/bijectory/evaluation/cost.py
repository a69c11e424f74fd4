"""What a flow costs each way: seconds of a training step, of densities and of samples.

The picture, once at the end:

    cost   models, tasks (strings); rows (tasks,); seconds (tasks, models, repeats)
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import ExactModel
from ..numerics.seeds import generator_for
from .pictures import Picture, Pictures

TASKS = ("training step", "log_prob", "sample")


class CostPictures(Pictures):
    """Seconds of each of several models for the same work, in turns, so that a busy machine slows all alike.

    A training step is the loss and its gradient for the first ``batch`` of ``x`` (rows, *event); log_prob and sample are of ``rows``.
    Models are timed on copies as they are then, on their device. Raises InputError without models, or for models with a context.
    """

    def __init__(
        self,
        models: Mapping[str, ExactModel],
        x: Tensor,
        every: int,
        *,
        batch: int = 256,
        rows: int = 1000,
        repeats: int = 7,
    ) -> None:
        if not models or any(model.context_dim for model in models.values()):
            raise InputError(f"models: expected at least one, without context, got {', '.join(models) or 'none'}")
        self.models, self.x, self.every = dict(models), x, max(1, every)
        self.batch, self.rows, self.repeats = batch, rows, repeats

    def __call__(self, step: int) -> Iterator[Picture]:
        """Nothing: a clock that runs beside the training would slow it."""
        return iter(())

    def portrait(self) -> Iterator[Picture]:
        """The seconds of every task, model and repeat."""
        batch, rows = self.x[: self.batch], self.x[: self.rows]
        work = [_work(copy.deepcopy(model), batch, rows) for model in self.models.values()]
        seconds = np.zeros((len(TASKS), len(work), self.repeats))
        for task in range(len(TASKS)):
            # The first round pays for what is set up once; it is not counted.
            for repeat in range(-1, self.repeats):
                for place, jobs in enumerate(work):
                    seconds[task, place, max(0, repeat)] = seconds_of(jobs[task], self.x.device)
        yield Picture(
            "cost",
            {
                "models": np.array(list(self.models)),
                "tasks": np.array(TASKS),
                "rows": np.array([len(batch), len(rows), len(rows)]),
                "seconds": seconds,
            },
        )


def _work(model: ExactModel, batch: Tensor, rows: Tensor) -> tuple[Callable[[], object], ...]:
    generator = generator_for(0, "cost", device=rows.device)

    def step() -> None:
        model.zero_grad()
        (-model.train().log_prob(batch).mean()).backward()

    def density() -> None:
        with torch.inference_mode():
            model.eval().log_prob(rows)

    def sample() -> None:
        with torch.inference_mode():
            model.eval().sample(len(rows), generator=generator)

    return step, density, sample


def seconds_of(job: Callable[[], object], device: torch.device) -> float:
    """Seconds until the job is done, on an accelerator until the device is."""
    begun = time.perf_counter()
    job()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
