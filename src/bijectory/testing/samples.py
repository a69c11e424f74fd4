"""Laws of samples: they follow the density, repeat with their seed, and carry the log density that log_prob gives them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import ExactModel, LatentModel, SampleModel
from ..numerics.quadrature import cell_masses
from ..numerics.seeds import generator_for
from .checks import Check, as_rows, at_most, dtype_name, frozen_copy, listed, worst_of, worst_row
from .densities import Slice, affordable, box_around, dimensions, propose, slices

_SURPRISE = 5.0  # −log10 p: one honest model in 100,000 fails
_FEWEST = 5.0  # expected samples of a cell, below which its count is not about normal


def sample_shapes(
    model: SampleModel, context: Tensor | None = None, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Check:
    """sample(shape, context) has shape (*shape, *context's batch, *event), in ``dtype``: that of the model, or of its integers."""
    copy = frozen_copy(model)
    given = None if context is None else context.detach().to("cpu", torch.float64)
    faults = []
    for shape in ((), 4, (3,), (2, 3), (0,)):
        for rows in [None] if given is None else [given[0], given[:2]]:
            expected = ((shape,) if isinstance(shape, int) else shape) + (
                () if rows is None else tuple(rows.shape[:-1])
            )
            expected = (*expected, *copy.event_shape)
            with torch.no_grad():
                x = copy.sample(shape, rows, generator=generator_for(seed, "shapes"))
            if tuple(x.shape) != expected or x.dtype != dtype:
                faults.append(
                    f"sample({shape}): expected {expected} in {dtype_name(dtype)}, got {tuple(x.shape)} in {dtype_name(x.dtype)}"
                )
    return at_most("sample shapes", len(faults), 0, listed(faults, "shapes (), 4, (3,), (2, 3), (0,)"))


def seeded(model: SampleModel, context: Tensor | None = None, *, seed: int = 0) -> Check:
    """A generator decides the samples, alone: the same seed repeats them, another does not, the global generator stands still."""
    copy = frozen_copy(model)
    row = None if context is None else context.detach()[0].to("cpu", torch.float64)
    faults = []
    with torch.no_grad():
        before = torch.get_rng_state()
        first, again, other = (copy.sample(32, row, generator=generator_for(seed, "seeded", i)) for i in (0, 0, 1))
        if not torch.equal(before, torch.get_rng_state()):
            faults.append("the global generator moved")
    if not torch.equal(first, again):
        faults.append("the same seed gave other samples")
    if torch.equal(first, other):
        faults.append("two seeds gave the same samples")
    return at_most("seeded", len(faults), 0, listed(faults, "32 samples, twice the same seed and once another"))


def sample_log_prob(
    model: LatentModel, context: Tensor | None = None, *, seed: int = 0, draws: int = 256, bound: float = 1e-9
) -> Check:
    """sample_and_log_prob gives its samples the log density that log_prob gives them."""
    copy = frozen_copy(model)
    row = None if context is None else context.detach()[0].to("cpu", torch.float64)
    with torch.no_grad():
        x, log_prob = copy.sample_and_log_prob(draws, row, generator=generator_for(seed, "pairs"))
        again = copy.log_prob(x, None if row is None else row.expand(len(x), -1))
    figure, where = worst_row(log_prob.reshape(-1, 1), again.reshape(-1, 1))
    return at_most(
        "sample log-prob", figure, bound, f"nats relative to max(1, |log p|), sample {where} of {len(x)}, float64"
    )


def samples_in_cells(
    model: ExactModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    draws: int = 20_000,
    bound: float = _SURPRISE,
) -> Check:
    """χ² of the samples' counts against the density's mass in cells, for one or two dimensions.

    Cells end at quantiles of other samples; their masses come from quadrature, as shares of the integral over a box that holds all,
    so that a wrong normalisation alone is no fault here. What is outside the cells is one more cell.
    """
    rows = as_rows(x, None, torch.float64, 2048)[0].flatten(1)
    parts = enumerate(slices(model, context))
    return worst_of([_in_cells(part, rows, (seed, i), draws, bound) for i, part in parts])


def _in_cells(part: Slice, x: Tensor, key: tuple[int, int], draws: int, bound: float) -> Check:
    guide = part.sample(8192, generator_for(*key, "cells"))
    dim = guide.shape[1]
    shares = torch.linspace(0.002, 0.998, 41 if dim == 1 else 11, dtype=torch.float64)
    edges = [torch.quantile(guide[:, d], shares).unique() for d in range(dim)]
    if any(len(edge) < 3 for edge in edges):
        return at_most("samples", math.nan, bound, "a coordinate of the samples is constant")
    masses = cell_masses(part.density, edges, sub=1)
    for sub in (2, 4, 8):
        finer = cell_masses(part.density, edges, sub=sub)
        change = float((finer - masses).abs().max())
        masses = finer
        # Some 200 draws are expected in a cell, and vary by 14: an error of one or two adds nothing that χ² could see.
        if change * draws < 2:
            break
    total = box_around(part, torch.cat([guide, x])).integral(part.density, 4e-3).value
    tested = part.sample(draws, generator_for(*key, "tested"))
    index = torch.zeros(draws, dtype=torch.long)
    inside = torch.ones(draws, dtype=torch.bool)
    for d, edge in enumerate(edges):
        cell = torch.bucketize(tested[:, d].contiguous(), edge) - 1
        inside &= (cell >= 0) & (cell < len(edge) - 1)
        index = index * (len(edge) - 1) + cell.clamp(0, len(edge) - 2)
    counts = torch.bincount(index[inside], minlength=masses.numel()).double()
    expected = masses.flatten() / total * draws
    expected = torch.cat([expected, (draws - expected.sum()).clamp_min(0).reshape(1)])
    counts = torch.cat([counts, draws - counts.sum().reshape(1)])
    expected, counts = _pool(expected, counts)
    chi2 = ((counts - expected).square() / expected).sum()
    freedom = len(expected) - 1
    p = float(torch.special.gammaincc(torch.tensor(freedom / 2, dtype=torch.float64), chi2 / 2))
    note = f"−log10 p: χ² {float(chi2):.1f} with {freedom} degrees of freedom, {draws} samples against quadrature cells"
    return at_most("samples", surprise(math.log(p) if p > 0 else -math.inf if p == 0 else math.nan), bound, note)


def _pool(expected: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The cells with few expected samples taken together, and with the next larger ones until they expect enough."""
    order = expected.argsort()
    expected, counts = expected[order], counts[order]
    few = int((expected < _FEWEST).sum())
    if few == 0:
        return expected, counts
    first = max(few, int((expected.cumsum(0) < _FEWEST).sum()) + 1)
    return (
        torch.cat([expected[:first].sum().reshape(1), expected[first:]]),
        torch.cat([counts[:first].sum().reshape(1), counts[first:]]),
    )


def _smaller(a: float, b: float) -> float:
    """The smaller of two numbers, NaN if either is."""
    return math.nan if math.isnan(a + b) else min(a, b)


def surprise(log_p: float) -> float:
    """−log10 p, at least 0."""
    return math.nan if math.isnan(log_p) else max(0.0, -log_p / math.log(10))


def uniform_latents(
    model: LatentModel, context: Tensor | None = None, *, seed: int = 0, draws: int = 20_000, bound: float = _SURPRISE
) -> Check:
    """The base's CDF at the samples' latents is uniform in each dimension (Kolmogorov-Smirnov) and uncorrelated between them."""
    draws = affordable(draws, dimensions(model))
    parts = enumerate(slices(model, context))
    return worst_of([_uniform(part, generator_for(seed, "latents", i), draws, bound) for i, part in parts])


def _uniform(part: Slice, generator: torch.Generator, draws: int, bound: float) -> Check:
    model, dim = part.model, dimensions(part.model)
    assert isinstance(model, LatentModel)
    x = part.sample(draws, generator).reshape(draws, *model.event_shape)
    with torch.no_grad():
        z = model.encode(x, None if part.context is None else part.context.expand(draws, -1))
        u = model.latent_cdf(z).flatten(1)
    return uniform_check("samples: latents", u, [f"latent {d}" for d in range(dim)], bound)


def uniform_check(law: str, u: Tensor, names: list[str], bound: float) -> Check:
    """Numbers (draws, dim) in [0, 1] are uniform in each dimension and uncorrelated between them."""
    draws, dim = u.shape
    rank = torch.arange(1, draws + 1, dtype=torch.float64)[:, None] / draws
    ordered = u.sort(0).values
    distance = torch.maximum(rank - ordered, ordered - rank + 1 / draws).amax(0)
    farthest = int(distance.argmax())
    # Kolmogorov's tail, its first term: it bounds the series from above.
    log_p = math.log(2 * dim) - 2 * draws * float(distance[farthest]) ** 2
    centred = (u - u.mean(0)) / u.std(0)
    correlation = float((centred.T @ centred / draws).fill_diagonal_(0).abs().max())
    if dim > 1:
        tail = torch.special.log_ndtr(torch.tensor(-correlation * math.sqrt(draws), dtype=torch.float64))
        log_p = _smaller(log_p, math.log(dim * (dim - 1)) + float(tail))
    note = (
        f"−log10 p, for all dimensions together: farthest from uniform is {names[farthest]}, by {float(distance[farthest]):.4f}; "
        f"largest correlation {correlation:.4f}; {draws} samples"
    )
    return at_most(law, surprise(log_p), bound, note)


def sample_moments(
    model: ExactModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    draws: int = 20_000,
    bound: float = _SURPRISE,
) -> Check:
    """Means of log p and of bounded functions of x over samples agree with those over importance-weighted points of the density.

    The weighted points never come from ``sample``'s latents, so this holds samples and density against each other in any dimension;
    "not decided" where fewer than 500 points would carry the weight.
    """
    rows = as_rows(x, None, torch.float64, 2048)[0].flatten(1)
    parts, draws = enumerate(slices(model, context)), affordable(draws, dimensions(model))
    return worst_of([_moments(part, rows, generator_for(seed, "moments", i), draws, bound) for i, part in parts])


def _moments(part: Slice, x: Tensor, generator: torch.Generator, draws: int, bound: float) -> Check:
    cloud = propose(part, x, generator, draws)
    weight = torch.softmax(cloud.log_weight, 0)
    effective = float(1 / weight.square().sum())
    tested = part.sample(draws, generator)
    centre, scale = tested.median(0).values, tested.std(0).clamp_min(1e-12)
    alive = weight > 0
    weight = weight[alive]
    theirs = _features(cloud.points[alive], cloud.log_prob[alive], centre, scale)
    ours = _features(tested, part.log_prob(tested), centre, scale)
    mean = weight @ theirs
    error = (weight.square() @ (theirs - mean).square() + ours.var(0) / draws).sqrt()
    z = (ours.mean(0) - mean).abs() / error
    which = int(z.argmax())
    figure = surprise(math.log(2 * len(z)) + float(torch.special.log_ndtr(-z[which])))
    feature = "log p" if which == 0 else f"function {which - 1} of x"
    note = f"−log10 p: {feature} differs by {float(z[which]):.1f} standard errors; {draws} samples, {effective:.0f} effective points"
    if effective < 500:
        return Check("samples: moments", figure, bound, True, f"not decided, too few effective points: {note}")
    return at_most("samples: moments", figure, bound, note)


def _features(points: Tensor, log_prob: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """log p and bounded functions of each coordinate and of neighbours: (n, 1 + 3D), bounded so that far points cannot decide."""
    s = (points - centre) / scale
    near = torch.tanh(s)
    return torch.cat([log_prob[:, None], near, torch.tanh(s.square()), near * near.roll(1, 1)], 1)


def latent_density(model: LatentModel, x: Tensor, context: Tensor | None = None, *, bound: float = 1e-9) -> Check:
    """log_prob(x) = base.log_prob(z) + log-det with z = encode(x), and decode and latent_cdf belong to the same transform and base."""
    copy = frozen_copy(model)
    x, given = as_rows(x, context, torch.float64, 256)
    with torch.no_grad():
        z, log_det = copy.transform.forward_and_log_det(x, given)
        if not torch.equal(copy.encode(x, given), z):
            raise InputError("encode: expected what the transform gives, got other latents")
        if not torch.equal(copy.decode(z, given), copy.transform.inverse(z, given)):
            raise InputError("decode: expected what the transform's inverse gives, got another x")
        if not torch.equal(copy.latent_cdf(z), copy.base.cdf(z)):
            raise InputError("latent_cdf: expected the base's CDF, got other numbers")
        figure, row = worst_row(
            copy.log_prob(x, given).reshape(-1, 1), (copy.base.log_prob(z, given) + log_det).reshape(-1, 1)
        )
    return at_most("latent density", figure, bound, f"nats relative to max(1, |log p|), row {row} of {len(x)}, float64")
