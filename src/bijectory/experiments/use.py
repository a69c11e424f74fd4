"""Using what a run left: its model read back, evaluated, sampled, and asked for densities."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ..data.columns import listed
from ..data.kinds import Column
from ..data.splits import Schema, Splits, context_names
from ..errors import InputError, ShapeError
from ..evaluation.likelihood import bound_rows, estimate_rows, log_prob_rows
from ..models.base import BoundModel, EstimateModel, SampleModel
from ..numerics.seeds import generator_for
from . import knobs
from .judge import as_judged, judge
from .recipe import Recipe, find_recipe
from .record import Run


@dataclasses.dataclass
class Loaded:
    """A run read back: its record, its recipe and its model with the weights in place, on the CPU, in the precision it is judged in."""

    record: Run
    experiment: Recipe
    model: SampleModel
    schema: Schema
    step: int

    def splits(self, data: Path | None = None) -> Splits:
        """The data of the run, read or made anew."""
        recorded = self.record.settings["data"]
        return self.experiment.data(data or (Path(recorded) if recorded else None), int(self.record.settings["seed"]))


def recorded_recipe(record: Run, recipe: Path | None = None) -> Recipe:
    """The recipe of a run with the run's knobs. One of one's own must be named: the copy in the run is text and never executed."""
    settings = record.settings
    if not settings["built_in"] and recipe is None:
        raise InputError(
            f"{record.path}: was trained from a file of somebody's own; name it with --recipe FILE.py "
            f"(the copy {record.path}/recipe.py is kept to be read, never run unasked)"
        )
    found = find_recipe(settings["recipe"], recipe)
    return found.build(knobs.convert(found.function, settings["knobs"]))


def load(path: Path, recipe: Path | None = None) -> Loaded:
    """Read a run: its record, its recipe (see ``recorded_recipe``) and its model with the weights in place."""
    record = Run.open(path)
    settings = record.settings
    experiment = recorded_recipe(record, recipe)
    # Runs of before pictures say nothing of levels.
    levels = settings.get("levels")
    schema = Schema(
        tuple(settings["columns"]),
        tuple(settings["event_shape"]),
        int(settings["context_dim"]),
        levels,
        context_columns(record),
        # Runs of before typed tables say nothing of kinds.
        *(msgspec.convert(settings.get(key, ()), tuple[Column, ...]) for key in ("kinds", "context_kinds")),
    )
    model = experiment.model(schema)
    step = record.load_weights(model)
    return Loaded(record, experiment, as_judged(experiment, model), schema, step)


def evaluate(path: Path, *, data: Path | None = None, recipe: Path | None = None) -> dict[str, Any]:
    """The result of a run with its scores computed anew from its weights and data."""
    loaded = load(path, recipe)
    result: dict[str, Any] = loaded.record.load_json("result.json")
    scores, _ = judge(loaded.experiment, loaded.model, loaded.splits(data))
    return {**result, "scores": [score.as_dict() for score in scores]}


def context_columns(record: Run) -> tuple[str, ...]:
    """The names under which a run's context is found in a file; none where its model has none. Older runs gave no names: c1, c2, …"""
    return context_names(record.settings.get("context_columns", ()), int(record.settings["context_dim"]))


def sample(
    path: Path, n: int, *, context: np.ndarray | None = None, seed: int = 0, recipe: Path | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """``n`` draws of a run's model as (columns, rows); of a conditional one, ``n`` for each row of ``context`` (rows, features).

    Rows then begin with the context that they were drawn for, in the order of the contexts: they can be scored as they are.
    """
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    loaded = load(path, recipe)
    given = _context(loaded, context)
    with torch.no_grad():
        drawn = loaded.model.sample(n, given, generator=generator_for(seed, "sample"))
    schema = loaded.schema
    if given is None or context is None:
        return schema.columns, drawn.flatten(1).numpy()
    rows = drawn.transpose(0, 1).reshape(n * len(context), -1).numpy()
    return (*schema.context_columns, *schema.columns), np.concatenate([np.repeat(context, n, axis=0), rows], axis=1)


def score(
    path: Path, values: np.ndarray, *, context: np.ndarray | None = None, recipe: Path | None = None
) -> tuple[str, np.ndarray]:
    """The log density of each row, in nats and in the rows' order: (column name, values). A conditional model needs a ``context``."""
    return density(load(path, recipe), values, context)


def density(loaded: Loaded, values: np.ndarray, context: np.ndarray | None = None) -> tuple[str, np.ndarray]:
    """The same of a run that is read already."""
    shape = loaded.schema.event_shape
    if values.shape[1] != math.prod(shape):
        raise ShapeError(
            f"rows: expected {math.prod(shape)} columns ({', '.join(loaded.schema.columns)}), got {values.shape[1]}"
        )
    x = torch.from_numpy(values).reshape(-1, *shape).to(next(loaded.model.parameters()).dtype)
    given = _context(loaded, context)
    if given is not None and len(given) != len(x):
        raise ShapeError(f"context: expected {len(x)} rows, one for each of the rows, got {len(given)}")
    if isinstance(loaded.model, BoundModel):
        return "log_prob_bound", bound_rows(loaded.model, x, given).numpy()
    if isinstance(loaded.model, EstimateModel):
        draws = loaded.experiment.draws
        return "log_prob_estimate", estimate_rows(loaded.model, x, given, draws=draws).numpy()
    return "log_prob", log_prob_rows(loaded.model, x, given).numpy()


def _context(loaded: Loaded, context: np.ndarray | None) -> torch.Tensor | None:
    """The contexts in the model's precision, if it takes contexts of this width."""
    names, path = loaded.schema.context_columns, loaded.record.path
    if context is None and not names:
        return None
    if context is None:
        raise InputError(f"{path}: is conditional on {listed(names)}; give it a context with these columns")
    if not names:
        raise InputError(f"{path}: takes no context, got one of {context.shape[-1]} columns; leave it out")
    if context.ndim != 2 or context.shape[1] != len(names):
        raise ShapeError(f"context: expected shape (rows, {len(names)}): {listed(names)}; got {context.shape}")
    return torch.from_numpy(context).to(next(loaded.model.parameters()).dtype)
