"""Running a recipe: from its name to a finished run directory."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..data.batches import Noise, Shuffled
from ..data.splits import Rows, Splits, check_varies
from ..errors import InputError, InterruptedTraining, RunExistsError, RunIncompleteError
from ..evaluation.likelihood import (
    Score,
    bits_per_dim,
    evaluate_model,
)
from ..evaluation.pictures import Picture, Pictures
from ..models.base import BoundModel, EstimateModel, SampleModel
from ..numerics.seeds import generator_for
from ..training.best import KeepBest
from ..training.doctor import Fault
from ..training.fit import Averaged, Evaluator, State, fit
from ..training.initialise import initialise
from ..training.interrupt import Interruption
from ..training.precision import set_precision
from ..training.ranks import Ranks, joined_ranks
from ..training.update import Update
from . import knobs
from .board import Board
from .judge import judge
from .progress import Progress
from .recipe import Found, Recipe, find_recipe
from .record import FORMAT, Run


class Validation:
    """The evaluator every run has: likelihood scores of the validation rows."""

    def __init__(self, model: SampleModel, rows: Rows, every: int, most: int) -> None:
        self.model, self.rows, self.every = model, rows.select(slice(0, most)), every

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
    say: Callable[[str], None] | None = None,
) -> Path | None:
    """Train a recipe into a run directory and judge it; returns the directory, or None in a process of several that does not write.

    What there is to know of the data (the splits' notes) is told to ``say`` before the first step.

    A new run refuses a directory that exists. ``resume`` continues one from its last checkpoint, with the settings it was started
    with, so that the weights equal those of an uninterrupted run bit for bit; knobs or a seed given again must agree with them.
    Under torchrun each process takes its piece of every batch; rank 0 looks, logs, saves and judges. All see the same folders.
    """
    with joined_ranks(_device(device)) as ranks:
        return _train(recipe, assignments, run, resume, seed, device, data, tensorboard, say, ranks)


def _train(
    recipe: str,
    assignments: Sequence[str],
    run: Path | None,
    resume: bool,
    seed: int | None,
    device: str,
    data: Path | None,
    tensorboard: bool,
    say: Callable[[str], None] | None,
    ranks: Ranks,
) -> Path | None:
    found = find_recipe(recipe)
    values = knobs.parse(found.function, assignments)
    path = run or default_run(found.name, resume)
    record: Run | None = None
    if resume:
        record = Run.open(path)
        _check_same(record, found, values if assignments else None, seed)
        values = knobs.convert(found.function, record.settings["knobs"])
        seed, device = int(record.settings["seed"]), record.settings["device"]
        data = data or (Path(record.settings["data"]) if record.settings["data"] else None)
        torch.set_num_threads(int(record.settings["threads"]))
    elif ranks.writes and path.exists():
        raise RunExistsError(
            f"{path} is there already and nothing in it was touched; continue it with --resume, or choose another name with --run"
        )
    seed = 0 if seed is None else seed
    where = _device(device)
    experiment = found.build(values)
    if not resume and experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    splits = experiment.data(data, seed)
    check_varies(splits.train.x, f"{splits.name} (train)", splits.columns, splits.levels, splits.kinds)
    torch.manual_seed(seed)
    model = experiment.model(splits.schema).to(where)
    if say is not None and ranks.writes:
        for note in splits.notes:
            say(note)
    placed = _on(splits, where)
    if where.type != "cpu" and experiment.networks == "bfloat16":
        set_precision(model, torch.bfloat16)
    if ranks.writes:
        picked = torch.randperm(len(splits.train), generator=generator_for(seed, "initialise"))
        first = placed.train.select(picked[: experiment.initial_rows].to(where))
        initialise(model, first.x, first.context)
    ranks.receive_(model.state_dict().values())
    updates = experiment.objective(model)
    evaluators = list(experiment.evaluators(model, placed))
    settings = _settings(found, experiment, values, seed, device, data, splits)
    if record is None and ranks.writes:
        # Last of all: a knob that the model refuses must not leave a directory behind, which the corrected command would then meet.
        record = Run.create(path, settings, found.path)
    job = Shuffled(
        placed.train,
        experiment.budget.batch,
        seed,
        noise=_noise(experiment, model),
        flips=experiment.flips,
        part=ranks.rank,
        parts=ranks.size,
    )
    if not ranks.writes:
        _follow(record, experiment, updates, job, ranks)
        return None
    assert record is not None
    state, best = _fit(record, experiment, model, placed, updates, evaluators, job, resume, tensorboard, ranks)
    best.restore()
    record.save_weights(model, best.step, *_probes(splits))
    _portray(record, evaluators, state.step, tensorboard)
    _judge(record, experiment, model, splits, state)
    ranks.wait()
    return path


def _noise(experiment: Recipe, model: SampleModel) -> Noise | None:
    """What the batches of a bound or an estimate bring along, drawn for the whole batch from (seed, step)."""
    if experiment.noise is not None:
        return experiment.noise(model)
    if not isinstance(model, BoundModel | EstimateModel):
        return None
    return lambda rows, generator: model.draw_noise((rows,), generator=generator)


def _follow(record: Run | None, experiment: Recipe, updates: Sequence[Update], batches: Shuffled, ranks: Ranks) -> None:
    """The part of a process that does not write: the same steps, and an end when all end."""
    saved = None if record is None else record.load_state()[0]
    with Interruption() as interruption:
        state = fit(
            updates,
            batches,
            budget=experiment.budget,
            log=lambda step, terms, results: None,
            stop=lambda: _agreed(interruption, ranks),
            resume=saved,
            ranks=ranks,
        )
    # Rank 0 comes here when it has saved, or when it has judged.
    ranks.wait()
    if state.reason in signal.Signals.__members__:
        raise InterruptedTraining(f"stopped by {state.reason} together with rank 0", signal.Signals[state.reason])


def _agreed(interruption: Interruption, ranks: Ranks) -> str | None:
    """The name of a signal that reached any of the processes: all must stop after the same step."""
    number = ranks.largest(0 if interruption.signal is None else int(interruption.signal))
    return signal.Signals(number).name if number else None


def _fit(
    record: Run,
    experiment: Recipe,
    model: SampleModel,
    splits: Splits,
    updates: Sequence[Update],
    evaluators: Sequence[Evaluator],
    batches: Shuffled,
    resume: bool,
    tensorboard: bool,
    ranks: Ranks,
) -> tuple[State, KeepBest]:
    budget = experiment.budget
    every = max(1, budget.steps // experiment.looks)
    best = KeepBest(model, Validation(model, splits.validation, every, experiment.look_rows), every=every)
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
        for score in scores:
            if not math.isfinite(score.value):
                bar.say(
                    f"step {step}: {score.name} of the {score.split} rows is {score.value}; these weights are not kept"
                )
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
        with Interruption() as interruption:
            state = fit(
                updates,
                batches,
                budget=budget,
                evaluators=looks,
                log=log,
                save=save,
                stop=lambda: _agreed(interruption, ranks),
                resume=saved,
                ranks=ranks,
            )
    finally:
        bar.close()
        if board is not None:
            board.close()
    if state.reason in signal.Signals.__members__:
        ranks.wait()
        raise InterruptedTraining(
            f"stopped by {state.reason} after step {state.step} of {budget.steps}, and saved; go on with "
            f"`{record.resume_command()}`",
            signal.Signals[state.reason],
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


def _judge(record: Run, experiment: Recipe, model: SampleModel, splits: Splits, state: State) -> None:
    scores, nats = judge(experiment, model, splits)
    if isinstance(model, BoundModel):
        # The page compares two runs picture by picture: their difference has a far smaller error than either of them.
        record.save_arrays(f"likelihood-{state.step:08d}", {"test": nats.numpy()})
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
        "knobs": knobs.jsonable(
            {**{name: k.default for name, k in knobs.knobs(found.function).items()}, **values, **experiment.chosen}
        ),
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
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        # torchrun starts one process for each accelerator of a machine.
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise InputError(f"device: {name!r} cannot be used here; expected one of {', '.join(here)}") from None
    return device


def _on(splits: Splits, device: torch.device) -> Splits:
    def move(rows: Rows) -> Rows:
        return Rows(*(None if t is None else t.to(device) for t in (rows.x, rows.context, rows.labels, rows.weights)))  # type: ignore[arg-type]

    return dataclasses.replace(
        splits, train=move(splits.train), validation=move(splits.validation), test=move(splits.test)
    )


def _probes(splits: Splits) -> tuple[Tensor, Tensor | None]:
    return splits.validation.x, splits.validation.context
