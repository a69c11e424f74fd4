"""Running a recipe, and using what it left: train, evaluate, sample, score."""

from __future__ import annotations

import copy
import dataclasses
import math
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..data.batches import Shuffled
from ..data.splits import Rows, Schema, Splits, check_varies
from ..errors import InputError, InterruptedTraining, RunExistsError, RunIncompleteError, ShapeError
from ..evaluation.likelihood import Score, bits_per_dim, evaluate_model, kind_of, log_prob_rows, mean_and_stderr
from ..evaluation.pictures import Picture, Pictures
from ..models.base import SampleModel
from ..numerics.seeds import generator_for
from ..training.best import KeepBest
from ..training.doctor import Fault
from ..training.fit import Averaged, Evaluator, State, fit
from ..training.initialise import initialise
from ..training.interrupt import Interruption
from ..training.update import Update
from . import knobs
from .board import Board
from .progress import Progress
from .recipe import Found, Recipe, find_recipe
from .record import FORMAT, Run

#: Data-dependent constants are set from at most this many training rows, validation looks at, and the
#: float32 bias is measured on, this many rows at most.
INITIAL_ROWS, LOOK_ROWS, BIAS_ROWS = 65_536, 10_000, 2_000


class Validation:
    """The evaluator every run has: likelihood scores of the validation rows."""

    def __init__(self, model: SampleModel, rows: Rows, every: int) -> None:
        self.model, self.rows, self.every = model, rows.select(slice(0, LOOK_ROWS)), every

    def __call__(self, step: int) -> list[Score]:
        self.model.eval()
        scores = evaluate_model(self.model, self.rows.x, self.rows.context, split="validation")
        self.model.train()
        return scores


def default_run(name: str, resume: bool) -> Path:
    """runs/NAME; the first free of NAME-2, NAME-3, … for a new run, the last that is there for a resumed one."""
    candidates = [Path("runs") / (name if i == 1 else f"{name}-{i}") for i in range(1, 10_000)]
    free = next(i for i, path in enumerate(candidates) if not path.exists())
    return candidates[max(free - 1, 0) if resume else free]


def train(
    recipe: str,
    *,
    assignments: Sequence[str] = (),
    run: Path | None = None,
    resume: bool = False,
    seed: int | None = None,
    device: str = "cpu",
    data: Path | None = None,
    tensorboard: bool = False,
) -> Path:
    """Train a recipe into a run directory and judge it; returns the directory.

    A new run refuses a directory that exists. ``resume`` continues one from its last checkpoint, with the settings it was started
    with, so that the weights equal those of an uninterrupted run bit for bit; knobs or a seed given again must agree with them.
    """
    found = find_recipe(recipe)
    values = knobs.parse(found.function, assignments)
    path = run or default_run(found.name, resume)
    if resume:
        record = Run.open(path)
        _check_same(record, found, values if assignments else None, seed)
        values = knobs.convert(found.function, record.settings["knobs"])
        seed, device = int(record.settings["seed"]), record.settings["device"]
        data = data or (Path(record.settings["data"]) if record.settings["data"] else None)
        torch.set_num_threads(int(record.settings["threads"]))
    elif path.exists():
        raise RunExistsError(
            f"{path} is there already and nothing in it was touched; continue it with --resume, or choose another name with --run"
        )
    seed = 0 if seed is None else seed
    where = _device(device)
    experiment = found.build(values)
    if not resume and experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    splits = experiment.data(data, seed)
    check_varies(splits.train.x, f"{splits.name} (train)", splits.columns)
    torch.manual_seed(seed)
    model = experiment.model(splits.schema).to(where)
    placed = _on(splits, where)
    picked = torch.randperm(len(splits.train), generator=generator_for(seed, "initialise"))[:INITIAL_ROWS]
    first = placed.train.select(picked.to(where))
    initialise(model, first.x, first.context)
    updates = experiment.objective(model)
    evaluators = list(experiment.evaluators(model, placed))
    if not resume:
        # Last of all: a knob that the model refuses must not leave a directory behind, which the corrected command would then meet.
        record = Run.create(path, _settings(found, experiment, values, seed, device, data, splits), found.path)
    state, best = _fit(record, experiment, model, placed, updates, evaluators, resume, tensorboard)
    best.restore()
    record.save_weights(model, best.step, *_probes(splits))
    _portray(record, evaluators, state.step, tensorboard)
    _judge(record, model, splits, state)
    return path


def _fit(
    record: Run,
    experiment: Recipe,
    model: SampleModel,
    splits: Splits,
    updates: Sequence[Update],
    evaluators: Sequence[Evaluator],
    resume: bool,
    tensorboard: bool,
) -> tuple[State, KeepBest]:
    budget = experiment.budget
    every = max(1, budget.steps // experiment.looks)
    best = KeepBest(model, Validation(model, splits.validation, every), every=every)
    looks = [Averaged(updates, best), *(Averaged(updates, e) for e in evaluators)]
    saved, fault = record.load_state() if resume else (None, None)
    if fault is not None:
        print(f"bijectory: {fault}; going on from the state before it", file=sys.stderr)
    done = 0 if saved is None else int(saved["step"])
    if resume:
        record.cut_metrics(done)
    dims = math.prod(splits.schema.event_shape)
    bar = Progress(record.settings["recipe"], budget.steps, done)
    board = Board(record, done) if tensorboard else None

    def log(step: int, terms: dict[str, float], results: list[Any]) -> None:
        scores = [r for r in results if isinstance(r, Score)]
        shown = (
            {"nats": f"{terms['nats']:.4f}", "bits/dim": f"{bits_per_dim(terms['nats'], dims):.4f}"}
            if "nats" in terms
            else {}
        )
        if "nats" in terms:
            terms = {**terms, "bits_per_dim": bits_per_dim(terms["nats"], dims)}
        bar.update(step, shown)
        row = {"step": step, "train": terms, "scores": [s.as_dict() for s in scores]}
        faults = [r for r in results if isinstance(r, Fault)]
        for fault in faults:
            bar.say(str(fault))
        record.append_metrics({**row, "faults": [fault.as_dict() for fault in faults]} if faults else row)
        pictures = [r for r in results if isinstance(r, Picture)]
        for picture in pictures:
            record.save_arrays(f"{picture.name}-{step:08d}", picture.arrays)
        if board is not None:
            board.add(step, terms, scores, pictures)

    def save(state: State) -> None:
        record.save_state(state.tensors())

    try:
        batches = Shuffled(splits.train, budget.batch, int(record.settings["seed"]))
        with Interruption() as interruption:
            state = fit(
                updates,
                batches,
                budget=budget,
                evaluators=looks,
                log=log,
                save=save,
                stop=lambda: None if interruption.signal is None else interruption.signal.name,
                resume=saved,
            )
    finally:
        bar.close()
        if board is not None:
            board.close()
    if interruption.signal is not None and state.reason == interruption.signal.name:
        raise InterruptedTraining(
            f"stopped by {state.reason} after step {state.step} of {budget.steps}, and saved; go on with "
            f"`{record.resume_command()}`",
            interruption.signal,
        )
    return state, best


def _portray(record: Run, evaluators: Sequence[Evaluator], step: int, tensorboard: bool) -> None:
    pictures = [picture for e in evaluators if isinstance(e, Pictures) for picture in e.portrait()]
    for picture in pictures:
        record.save_arrays(f"{picture.name}-{step:08d}", picture.arrays)
    if tensorboard:
        board = Board(record, step)
        board.add(step, {}, [], pictures)
        board.close()


def _judge(record: Run, model: SampleModel, splits: Splits, state: State) -> None:
    scores = judge(model, splits)
    record.save_json(
        "result.json",
        {
            "format": FORMAT,
            "recipe": record.settings["recipe"],
            "seed": record.settings["seed"],
            "steps": state.step,
            "seconds": round(state.seconds, 3),
            "scores": [score.as_dict() for score in scores],
        },
    )


def judge(model: SampleModel, splits: Splits) -> list[Score]:
    """Scores on validation and test rows, in float64 on the CPU, so that the figure is the model's and not the precision's.

    What float32 would have said differently is a score of its own: ``float32_bias``, in nats, over some rows of the test split.
    """
    wide = copy.deepcopy(model).double().cpu().eval()
    scores = []
    for split in ("validation", "test"):
        rows: Rows = getattr(splits, split)
        context = None if rows.context is None else rows.context.double().cpu()
        scores += evaluate_model(wide, rows.x.double().cpu(), context, split=split, truth=splits.truth)
    return [*scores, precision_bias(copy.deepcopy(model).float().cpu().eval(), wide, splits.test)]


def precision_bias(narrow: SampleModel, wide: SampleModel, rows: Rows) -> Score:
    """Mean of log p in float32 minus log p in float64 over at most BIAS_ROWS rows."""
    some = rows.select(slice(0, BIAS_ROWS))
    x, context = some.x.cpu(), None if some.context is None else some.context.cpu()
    exact = log_prob_rows(wide, x.double(), None if context is None else context.double())
    mean, error = mean_and_stderr(log_prob_rows(narrow, x.float(), context) - exact)
    return Score("float32_bias", "test", mean, error, "nats", kind_of(wide))


@dataclasses.dataclass
class Loaded:
    """A run read back: its record, its recipe and its model with the weights in place, in float64 on the CPU."""

    record: Run
    experiment: Recipe
    model: SampleModel
    schema: Schema
    step: int

    def splits(self, data: Path | None = None) -> Splits:
        """The data of the run, read or made anew."""
        recorded = self.record.settings["data"]
        return self.experiment.data(data or (Path(recorded) if recorded else None), int(self.record.settings["seed"]))


def load(path: Path, recipe: Path | None = None) -> Loaded:
    """Read a run. A recipe of one's own must be named: the copy in the run is text and never executed."""
    record = Run.open(path)
    settings = record.settings
    if not settings["built_in"] and recipe is None:
        raise InputError(
            f"{path}: was trained from a file of somebody's own; name it with --recipe FILE.py "
            f"(the copy {path}/recipe.py is kept to be read, never run unasked)"
        )
    found = find_recipe(settings["recipe"], recipe)
    experiment = found.build(knobs.convert(found.function, settings["knobs"]))
    schema = Schema(tuple(settings["columns"]), tuple(settings["event_shape"]), int(settings["context_dim"]))
    model = experiment.model(schema)
    step = record.load_weights(model)
    return Loaded(record, experiment, model.double().eval(), schema, step)


def evaluate(path: Path, *, data: Path | None = None, recipe: Path | None = None) -> dict[str, Any]:
    """The result of a run with its scores computed anew from its weights and data."""
    loaded = load(path, recipe)
    result: dict[str, Any] = loaded.record.load_json("result.json")
    return {**result, "scores": [score.as_dict() for score in judge(loaded.model, loaded.splits(data))]}


def sample(path: Path, n: int, *, seed: int = 0, recipe: Path | None = None) -> tuple[tuple[str, ...], np.ndarray]:
    """``n`` draws of a run's model as (columns, rows)."""
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    loaded = load(path, recipe)
    with torch.no_grad():
        drawn = loaded.model.sample(n, generator=generator_for(seed, "sample"))
    return loaded.schema.columns, drawn.flatten(1).numpy()


def score(path: Path, values: np.ndarray, *, recipe: Path | None = None) -> tuple[str, np.ndarray]:
    """The log density of each row, in nats and in the rows' order: (column name, values)."""
    loaded = load(path, recipe)
    shape = loaded.schema.event_shape
    if values.shape[1] != math.prod(shape):
        raise ShapeError(
            f"rows: expected {math.prod(shape)} columns ({', '.join(loaded.schema.columns)}), got {values.shape[1]}"
        )
    x = torch.from_numpy(values).double().reshape(-1, *shape)
    name = "log_prob" if kind_of(loaded.model) == "exact" else "log_prob_bound"
    return name, log_prob_rows(loaded.model, x).numpy()


def _settings(
    found: Found,
    experiment: Recipe,
    values: dict[str, object],
    seed: int,
    device: str,
    data: Path | None,
    splits: Splits,
) -> dict[str, Any]:
    schema = dataclasses.asdict(splits.schema)
    return {
        "recipe": found.name,
        "built_in": found.built_in,
        "recipe_file": None if found.built_in else str(found.path.resolve()),
        # Every knob, not only those given: a default that changes later must not change what this run was.
        "knobs": knobs.jsonable({**{name: k.default for name, k in knobs.knobs(found.function).items()}, **values}),
        "seed": seed,
        "device": device,
        "data": None if data is None else str(data.resolve()),
        "threads": torch.get_num_threads(),
        **{key: list(value) if isinstance(value, tuple) else value for key, value in schema.items()},
        "notes": list(splits.notes),
        "rows": {split: len(getattr(splits, split)) for split in ("train", "validation", "test")},
        "expect": None if experiment.expect is None else dataclasses.asdict(experiment.expect),
        "entropy": None if splits.entropy is None else splits.entropy(),
        "versions": {
            "bijectory": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _check_same(record: Run, found: Found, values: dict[str, object] | None, seed: int | None) -> None:
    settings = record.settings
    if settings["recipe"] != found.name:
        raise RunIncompleteError(
            f"{record.path}: is a run of {settings['recipe']!r}, not of {found.name!r}; resume it by that name"
        )
    given = {} if values is None else knobs.jsonable(values)
    if any(settings["knobs"].get(name) != value for name, value in given.items()):
        raise InputError(
            f"{record.path}: was started with the knobs {settings['knobs']}; a resumed run keeps them: leave the knobs out, or start anew"
        )
    if seed is not None and seed != settings["seed"]:
        raise InputError(
            f"{record.path}: was started with seed {settings['seed']}, got {seed}; leave --seed out, or start anew"
        )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise InputError(f"device: {name!r} cannot be used here; expected one of {', '.join(here)}") from None
    return device


def _on(splits: Splits, device: torch.device) -> Splits:
    def move(rows: Rows) -> Rows:
        return Rows(*(None if t is None else t.to(device) for t in (rows.x, rows.context, rows.labels)))  # type: ignore[arg-type]

    return dataclasses.replace(
        splits, train=move(splits.train), validation=move(splits.validation), test=move(splits.test)
    )


def _probes(splits: Splits) -> tuple[Tensor, Tensor | None]:
    return splits.validation.x, splits.validation.context
