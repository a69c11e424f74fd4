"""The contract as a whole: which laws apply to a map or a model, and all of them held against it."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..models.base import ExactModel, LatentModel
from ..numerics.seeds import generator_for
from ..transforms.base import Transform
from . import causal, densities, exact, jacobians, maps, samples
from .checks import Check, Law, check_rows, frozen_copy, hold_all

FAR = (3.0, 10.0, 100.0)


def transform_laws(
    transform: Transform,
    x: Tensor,
    context: Tensor | None = None,
    *,
    z: Tensor | None = None,
    round_trip: float = 1e-10,
    round_trip_float32: float = 1e-5,
    log_det: float = 1e-9,
    far: float = 1e-3,
    precision: float = 1e-3,
) -> dict[str, Law]:
    """The laws that apply to the map, by name; each is called without arguments and gives its Check. See ``check_transform``."""
    check_rows(x, context, transform.event_dim_in)
    # A map that solves an equation step by step says how far off it may be, and is held to that where the usual bounds are tighter.
    round_trip, log_det = max(round_trip, transform.accuracy), max(log_det, transform.accuracy)
    round_trip_float32 = max(round_trip_float32, transform.accuracy)
    laws: dict[str, Law] = {
        "shapes": lambda: maps.shapes(transform, x, context),
        "independent rows": lambda: maps.independent_rows(transform, x, context),
        "precision": lambda: maps.precision(transform, x, context, bound=precision),
        "gradients": lambda: maps.gradients(transform, x, context),
    }
    if transform.exact_log_det:
        laws["log-det"] = lambda: jacobians.log_det_by_jacobian(transform, x, context, bound=log_det)
    if transform.has_inverse:
        laws["round trip float64"] = lambda: maps.round_trip(transform, x, context, z=z, bound=round_trip)
        laws["round trip float32"] = lambda: maps.round_trip(
            transform, x, context, z=z, dtype=torch.float32, bound=round_trip_float32
        )
    if transform.has_inverse and transform.exact_log_det:
        laws["inverse log-det"] = lambda: maps.opposite_log_det(transform, x, context, bound=log_det)
    for factor in FAR:
        laws[f"far inputs {factor:g}x"] = lambda factor=factor: maps.far_inputs(  # type: ignore[misc]
            transform, x, context, factor=factor, bound=far
        )
    if context is not None:
        laws["context"] = lambda: maps.context_reach(transform, x, context)
    if causal.causal_nets(transform):
        laws["causality"] = lambda: causal.causality(transform, context)
        laws["causal reach"] = lambda: causal.causal_reach(transform, context)
        laws["cached steps"] = lambda: causal.cached_steps(transform, context)
    return laws


def model_laws(
    model: ExactModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    integral: float = 1e-3,
    round_trip: float = 1e-10,
    round_trip_float32: float = 1e-5,
    log_det: float = 1e-9,
    far: float = 1e-3,
    precision: float = 1e-3,
) -> dict[str, Law]:
    """The laws that apply to the model, those of its transform among them, by name. See ``check_exact``."""
    check_rows(x, context, len(model.event_shape), model.context_dim)
    laws: dict[str, Law] = {
        "density shapes": lambda: exact.density_shapes(model, x, context),
        "density precision": lambda: exact.density_precision(model, x, context, bound=precision),
        "integral": lambda: densities.integral_is_one(model, x, context, seed=seed, bound=integral),
        "sample shapes": lambda: samples.sample_shapes(model, context, seed=seed),
        "seeded": lambda: samples.seeded(model, context, seed=seed),
    }
    if densities.dimensions(model) <= 2:
        laws["samples"] = lambda: samples.samples_in_cells(model, x, context, seed=seed)
    else:
        laws["samples: moments"] = lambda: samples.sample_moments(model, x, context, seed=seed)
    for factor in FAR:
        laws[f"far density {factor:g}x"] = lambda factor=factor: exact.far_density(  # type: ignore[misc]
            model, x, context, factor=factor
        )
    if context is not None:
        laws["density context"] = lambda: exact.density_context(model, x, context)
    if isinstance(model, LatentModel):
        latents = frozen_copy(model).base.sample((min(len(x), 256),), generator=generator_for(seed, "latents"))
        laws["latent density"] = lambda: samples.latent_density(model, x, context)
        laws["sample log-prob"] = lambda: samples.sample_log_prob(
            # The log-dets of the two ways, each off by what the map declares.
            model,
            context,
            seed=seed,
            bound=max(1e-9, model.transform.accuracy),
        )
        if densities.dimensions(model) > 2:
            laws["samples: latents"] = lambda: samples.uniform_latents(model, context, seed=seed)
        laws |= transform_laws(
            model.transform,
            x,
            context,
            z=latents,
            round_trip=round_trip,
            round_trip_float32=round_trip_float32,
            log_det=log_det,
            far=far,
            precision=precision,
        )
    laws["gradients"] = lambda: exact.density_gradients(model, x, context)
    return laws


def check_transform(
    transform: Transform,
    x: Tensor,
    context: Tensor | None = None,
    *,
    z: Tensor | None = None,
    without: Collection[str] = (),
    round_trip: float = 1e-10,
    round_trip_float32: float = 1e-5,
    log_det: float = 1e-9,
    far: float = 1e-3,
    precision: float = 1e-3,
) -> list[Check]:
    """Hold every law of invertible maps that applies against a copy of ``transform``, in eval mode; the map itself is left as it is.

    Shapes, independent rows, round trips in float64 and float32, log-det against the autodiff Jacobian, the inverse's log-det,
    precision, far inputs, gradients; where there is a context, its reach; where there are autoregressive nets, their causality, reach
    and caches. Weights that are zero test nothing: check a trained map, or one whose parameters were moved from where they start.

    Args:
        transform: the map.
        x: rows of its domain (rows, *event), at least two; the more typical the rows, the better the figures.
        context: (rows, features), if the map takes one.
        z: rows of its range from which it is also inverted, such as samples of a base; f(x) if none are given.
        without: names of laws to leave out.
        round_trip, round_trip_float32: the largest error relative to max(1, |row|); a vector's columns count in their standard deviations.
        log_det: the largest error of a log-det, in nats, relative to max(1, |log-det|).
        far: the largest round-trip error three, ten and a hundred times further out than the data, in float32.
        precision: the largest change from float64 to float32.

    Raises InputError for rows that no law could be tried on; a law that raises is a failed Check.

    >>> import torch
    >>> from bijectory import Exp
    >>> checks = check_transform(Exp(), torch.randn(64, 3, generator=torch.Generator().manual_seed(0)))
    >>> [check.law for check in checks if not check.passed]
    []
    """
    laws = transform_laws(
        transform,
        x,
        context,
        z=z,
        round_trip=round_trip,
        round_trip_float32=round_trip_float32,
        log_det=log_det,
        far=far,
        precision=precision,
    )
    return hold_all(laws, without)


def check_exact(
    model: ExactModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    without: Collection[str] = (),
    integral: float = 1e-3,
    round_trip: float = 1e-10,
    round_trip_float32: float = 1e-5,
    log_det: float = 1e-9,
    far: float = 1e-3,
    precision: float = 1e-3,
) -> list[Check]:
    """Hold every law of exact densities that applies against a copy of ``model``, in eval mode; the model itself is left as it is.

    Shapes, precision, far inputs, gradients and the context's reach of log_prob; that it integrates to one; that samples follow it,
    keep to their generator and carry its numbers. A LatentModel's transform is checked with it, as by ``check_transform``.

    Args:
        model: the model, trained or with its parameters moved from where they start: zero weights test nothing.
        x: rows of data (rows, *event), at least two, in the model's units; some hundreds give good figures.
        context: (rows, features) for a conditional model; densities are checked at its first and its last row.
        seed: decides every random number; the global generator is neither used nor moved.
        without: names of laws to leave out.
        integral: how far the integral may be from 1, in one or two dimensions.
        round_trip, round_trip_float32, log_det, far, precision: see ``check_transform``.

    Raises InputError for rows that no law could be tried on; a law that raises is a failed Check.

    >>> import torch, bijectory
    >>> model = bijectory.Flow(bijectory.Logistic((1,)), bijectory.ConstantAffine(torch.tensor([2.0]), torch.tensor([0.5])))
    >>> checks = check_exact(model, model.sample(64, generator=torch.Generator().manual_seed(0)))
    >>> [check.law for check in checks if not check.passed]
    []
    """
    laws = model_laws(
        model,
        x,
        context,
        seed=seed,
        integral=integral,
        round_trip=round_trip,
        round_trip_float32=round_trip_float32,
        log_det=log_det,
        far=far,
        precision=precision,
    )
    return hold_all(laws, without)
