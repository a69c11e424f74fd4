"""Laws of unbiased estimates: their mean is the exact value and their gradient's mean its gradient, and their noise can be handed in."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ..errors import InputError
from ..models.base import EstimateModel, ExactModel, LatentEstimateModel
from ..numerics.determinant import log_abs_det
from ..numerics.seeds import generator_for
from .checks import (
    Check,
    Law,
    as_rows,
    at_most,
    check_rows,
    exceeds,
    frozen_copy,
    hold_all,
    worst_row,
)
from .contract import transform_laws
from .jacobians import row_jacobian
from .noisy import noise_decides, noisy_gradients, noisy_shapes
from .samples import sample_shapes, seeded

#: Rows whose mean over draws is held against the exact value, each alone and all together.
_FEW = 16
#: Dimensions up to which the exact value is found by the Jacobian of ``encode``: the gradient's law asks for it 8 times.
_LARGEST = 64
#: How far weights are moved, as a vector, for a difference quotient: its own error is about 1e-8 then.
_STEP = 1e-4


def estimate_laws(
    model: EstimateModel,
    x: Tensor,
    exact: Tensor | ExactModel | None = None,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    draws: int = 512,
    bias: float = 1e-8,
    round_trip: float = 1e-10,
    round_trip_float32: float = 1e-5,
    far: float = 1e-3,
    precision: float = 1e-3,
) -> dict[str, Law]:
    """The laws that apply to the model, by name; each is called without arguments and gives its Check. See ``check_estimate``."""
    check_rows(x, context, len(model.event_shape), model.context_dim)
    laws: dict[str, Law] = {
        "sample shapes": lambda: sample_shapes(model, context, seed=seed),
        "seeded": lambda: seeded(model, context, seed=seed),
        "estimate shapes": lambda: noisy_shapes(model, x, context),
        "noise": lambda: noise_decides(model, x, context, seed=seed),
        "own noise": lambda: own_noise(model, x, context, seed=seed),
    }
    found = isinstance(model, LatentEstimateModel) and len(model.event_shape) == 1 and model.event_shape[0] <= _LARGEST
    if exact is not None or found:
        laws["estimate"] = lambda: right_on_average(model, x, exact, context, seed=seed, draws=draws, bias=bias)
    if found:
        laws["estimate gradient"] = lambda: right_gradient(model, x, context, seed=seed, draws=draws, bias=bias)  # type: ignore[arg-type]
    if isinstance(model, LatentEstimateModel):
        latents = frozen_copy(model).base.sample((min(len(x), 256),), generator=generator_for(seed, "latents"))
        laws |= transform_laws(
            model.transform,
            x,
            context,
            z=latents,
            round_trip=round_trip,
            round_trip_float32=round_trip_float32,
            far=far,
            precision=precision,
        )
    laws["gradients"] = lambda: noisy_gradients(model, x, context, seed=seed)
    return laws


def check_estimate(
    model: EstimateModel,
    x: Tensor,
    exact: Tensor | ExactModel | None = None,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    draws: int = 512,
    without: Collection[str] = (),
    **bounds: float,
) -> list[Check]:
    """Hold every law of estimates that applies against a copy of ``model``, in eval mode; the model itself is left as it is.

    Where the model has latents, also the laws of its map, as by ``check_transform``; and of vectors of up to 64 numbers the estimate and
    its gradient are held against the log-det of the map's Jacobian.

    Args:
        model: the model with an estimate.
        x: rows of data (rows, *event), at least two.
        exact: log p(x | context) of each row, nats (rows,), or the ExactModel that knows it, for models without latents or with large ones.
        context: (rows, features) for a conditional model.
        seed: decides every random number.
        draws: how many estimates of each row are averaged.
        without: names of laws to leave out.
        bounds: ``bias``, a systematic error relative to max(1, |log p|) that is allowed beside four standard errors, such as an
            integral's discretisation; ``round_trip`` and its kin, see ``check_transform``.

    Raises InputError for rows that no law could be tried on.

    >>> import torch, bijectory
    >>> net = bijectory.LipschitzMLP(2, hidden=(8,), zero=False)
    >>> model = bijectory.EstimatedFlow(bijectory.Normal((2,)), bijectory.Residual(net, log_det="estimate"))
    >>> checks = check_estimate(model, torch.randn(32, 2, generator=torch.Generator().manual_seed(0)))
    >>> [check.law for check in checks if not check.passed]
    []
    """
    return hold_all(estimate_laws(model, x, exact, context, seed=seed, draws=draws, **bounds), without)


def right_on_average(
    model: EstimateModel,
    x: Tensor,
    exact: Tensor | ExactModel | None = None,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    draws: int = 512,
    bias: float = 1e-8,
) -> Check:
    """The estimates' mean is the exact value, within four standard errors for all rows together and five for the worst of 16 rows.

    Where ``exact`` is None it is log p_base(z) + log|det ∂z/∂x| with the Jacobian of ``encode`` by automatic differentiation.
    """
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, _FEW)
    with torch.no_grad():
        truth = _truth(copy, rows, given, exact, len(x)).detach()
        values = _estimates(copy, rows, given, seed, draws)
    excess, slack = values - truth, bias * truth.abs().clamp_min(1)
    figure, note = 0.0, ""
    for name, each, allowed, slacks in (
        ("all rows", excess.mean(1, keepdim=True), 4.0, slack.mean(0, keepdim=True)),
        ("row", excess, 5.0, slack),
    ):
        error = each.std(0) / math.sqrt(draws)
        # In units in which 4 is the bound, for one mean and for the worst of several.
        distance = 4 * each.mean(0).abs() / (allowed * error + slacks)
        worst = int(distance.argmax())
        if exceeds(float(distance[worst]), figure) or not note:
            figure = float(distance[worst])
            note = (
                f"{name if len(distance) == 1 else f'row {worst}'}: mean off by {float(each.mean(0)[worst]):.2e} nats with a standard "
                f"error of {float(error[worst]):.1e}"
            )
    return at_most(
        "estimate", figure, 4, f"standard errors, 4 for 16 rows together, 5 for each; {note}; {draws} draws a row"
    )


def right_gradient(
    model: LatentEstimateModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    draws: int = 512,
    bias: float = 1e-8,
) -> Check:
    """The estimate's gradient has the exact value's as its mean, within five standard errors, in four random directions of the weights.

    An estimate may be unbiased while the gradient it is trained by is that of something else. The exact value's is a central
    difference.
    """
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, _FEW)
    parameters = [p for p in copy.parameters() if p.requires_grad]
    generator = generator_for(seed, "directions")

    size = sum(p.numel() for p in parameters)
    directions = torch.nn.functional.normalize(torch.randn(4, size, generator=generator, dtype=torch.float64))
    start = parameters_to_vector(parameters).detach()

    def exactly(weights: Tensor) -> Tensor:
        vector_to_parameters(weights, parameters)
        return _truth(copy, rows, given, None, len(x)).mean()

    with torch.no_grad():
        ends = [(exactly(start + _STEP * way), exactly(start - _STEP * way)) for way in directions]
        vector_to_parameters(start, parameters)
    truth = torch.stack([(high - low) / (2 * _STEP) for high, low in ends])
    groups, found = 16, []
    with torch.enable_grad():
        for group in range(groups):
            values = _estimates(copy, rows, given, seed, max(1, draws // groups), "gradient", group)
            slopes = torch.autograd.grad(values.mean(), parameters, materialize_grads=True)
            found.append(directions @ torch.cat([slope.reshape(-1) for slope in slopes]))
    each = torch.stack(found) - truth
    error = each.std(0) / math.sqrt(groups)
    # The difference quotient's own error, and the allowed bias divided by the step.
    slack = (10 * _STEP**2 + bias / _STEP) * truth.abs().clamp_min(1)
    distance = 5 * each.mean(0).abs() / (5 * error + slack)
    worst = int(distance.argmax())
    note = f"standard errors, the worst of 4 directions: {float(truth[worst]):.4g} and {float((each.mean(0) + truth)[worst]):.4g}"
    return at_most(
        "estimate gradient", float(distance[worst]), 5, f"{note}; {groups} groups of {draws // groups} draws"
    )


def own_noise(
    model: EstimateModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0, bound: float = 1e-9
) -> Check:
    """A row's estimate is that of its own noise: alone, and in reverse order, it is what it is among the others."""
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, 16)
    with torch.no_grad():
        noise = copy.draw_noise((len(rows),), generator=generator_for(seed, "own noise"), like=rows)
        whole = copy.log_prob_estimate(rows, given, noise=noise)
        worst, where = 0.0, "every row"
        trials = [(f"row {i} alone", torch.tensor([i])) for i in (0, len(rows) // 2, len(rows) - 1)]
        trials.append(("rows reversed", torch.arange(len(rows) - 1, -1, -1)))
        for name, index in trials:
            value = copy.log_prob_estimate(rows[index], None if given is None else given[index], noise=noise[index])
            error, _ = worst_row(value.reshape(-1, 1), whole[index].reshape(-1, 1))
            if exceeds(error, worst):
                worst, where = error, name
    return at_most("own noise", worst, bound, f"nats relative to max(1, |estimate|): {where} of {len(rows)}, float64")


def _truth(
    model: EstimateModel, rows: Tensor, context: Tensor | None, exact: Tensor | ExactModel | None, count: int
) -> Tensor:
    """The exact log density of the rows, given or found by the Jacobian."""
    if isinstance(exact, ExactModel):
        return frozen_copy(exact).log_prob(rows, context)
    if exact is not None:
        if exact.shape != (count,):
            raise InputError(
                f"exact: expected shape ({count},), one log density for each row, got {tuple(exact.shape)}"
            )
        return exact.detach()[: len(rows)].to("cpu", torch.float64)
    assert isinstance(model, LatentEstimateModel)
    slopes = row_jacobian(lambda row, i: model.encode(row, None if context is None else context[i]), rows)
    return model.base.log_prob(model.encode(rows, context), context) + log_abs_det(slopes)


def _estimates(
    model: EstimateModel, rows: Tensor, context: Tensor | None, seed: int, draws: int, *keys: int | str
) -> Tensor:
    """One-draw estimates of every row, (draws, rows), from one pass over as many copies of the rows."""
    many = rows.expand(draws, *rows.shape)
    given = None if context is None else context.expand(draws, *context.shape)
    return model.log_prob_estimate(many, given, generator=generator_for(seed, "estimates", *keys))
