"""Laws of numbers that depend on noise, bounds and estimates alike: their shapes, that the noise decides them, their gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.base import BoundModel, EstimateModel
from ..numerics.seeds import generator_for
from .checks import Check, as_rows, at_most, dtype_name, frozen_copy, listed
from .maps import BATCHES, gradient_check, spread

_ROWS = 64

NoisyModel = BoundModel | EstimateModel


def kind_and_value(model: NoisyModel) -> tuple[str, Callable[..., Tensor]]:
    """What the model's number is called, and a function (x, context, *, draws, generator, noise) that gives it."""
    if isinstance(model, EstimateModel):
        return "estimate", model.log_prob_estimate

    def bound(*given: Tensor | None, **settings: object) -> Tensor:
        return model.log_prob_bound(*given, **settings)[0]  # type: ignore[arg-type]

    return "bound", bound


def noisy_shapes(model: NoisyModel, x: Tensor, context: Tensor | None = None) -> Check:
    """The number has exactly the batch shape, for batches (), (3,), (2, 3) and (0,), for one draw and for two."""
    kind, value = kind_and_value(frozen_copy(model))
    x, context = as_rows(x, context, torch.float64, 6)
    faults = []
    for batch in BATCHES:
        rows, given = spread(x, batch), None if context is None else spread(context, batch)
        for draws in (1, 2):
            try:
                with torch.no_grad():
                    found = value(rows, given, draws=draws, generator=generator_for(0, "shapes"))
                if tuple(found.shape) != batch:
                    faults.append(f"batch {batch}: the {kind} of {draws} draws {tuple(found.shape)}")
            except Exception as error:
                faults.append(f"batch {batch}: {type(error).__name__}: {error}")
    return at_most(f"{kind} shapes", len(faults), 0, listed(faults, f"batches tried: {', '.join(map(str, BATCHES))}"))


def noise_decides(model: NoisyModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0) -> Check:
    """Noise drawn with draw_noise and handed in gives what a generator in the same state gives; nothing else is random.

    An estimate of several draws is also the mean of those of each.
    """
    copy = frozen_copy(model)
    kind, value = kind_and_value(copy)
    rows, given = as_rows(x, context, torch.float64, 8)
    faults = []
    with torch.no_grad():
        before = torch.get_rng_state()
        for draws in (1, 2):
            shape = (draws, len(rows))
            noise = copy.draw_noise(shape, generator=generator_for(seed, "noise"), like=rows)
            if tuple(noise.shape[:2]) != shape or noise.dtype != torch.float64:
                faults.append(
                    f"draw_noise({shape}): shape {tuple(noise.shape)} in {dtype_name(noise.dtype)} for float64 rows"
                )
            ways = {
                "the generator": value(rows, given, draws=draws, generator=generator_for(seed, "noise")),
                "the same noise again": value(rows, given, draws=draws, noise=noise.clone()),
            }
            if draws == 1:
                ways["noise without its dimension of draws"] = value(rows, given, noise=noise[0])
            handed = value(rows, given, draws=draws, noise=noise)
            faults += [
                f"{draws} draws: {name} gives another {kind}"
                for name, way in ways.items()
                if not torch.equal(way, handed)
            ]
            if kind == "estimate":
                each = torch.stack([value(rows, given, noise=one) for one in noise]).mean(0)
                if not torch.allclose(each, handed, rtol=1e-12, atol=1e-12):
                    faults.append(f"{draws} draws: the mean of each is another estimate")
        if not torch.equal(before, torch.get_rng_state()):
            faults.append("the global generator moved")
    return at_most("noise", len(faults), 0, listed(faults, f"one and two draws, {len(rows)} rows"))


def noisy_gradients(model: NoisyModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0) -> Check:
    """Every parameter of the model receives a finite gradient that is not zero from the mean of the number."""
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, _ROWS)
    with torch.enable_grad():
        total = kind_and_value(copy)[1](rows, given, generator=generator_for(seed, "gradients")).mean()
    return gradient_check(copy, total)
