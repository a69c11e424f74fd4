"""bijectory train."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from .options import data_option, training_options


@click.command()
@click.argument("recipe")
@click.argument("knobs", nargs=-1, metavar="[knob=value]...")
@training_options
@data_option
def train(
    recipe: str,
    knobs: tuple[str, ...],
    run_directory: Path | None,
    resume: bool,
    seed: int | None,
    device: str,
    tensorboard: bool,
    data: Path | None,
) -> None:
    """Train RECIPE, a built-in name or a Python file, judge it on its test rows, and certify it. Exit code 1 where a law fails.

    \b
    bijectory train smiley_mixture_cdf
    bijectory train smiley_realnvp depth=8 hidden=128,128 --run runs/wide --seed 1
    bijectory train smiley_realnvp --run runs/wide --resume
    bijectory train ./mine.py width=64
    torchrun --nproc-per-node 2 -m bijectory train smiley_realnvp
    """
    own = Path(recipe) if recipe.endswith(".py") else None
    train_and_certify(
        recipe,
        own,
        assignments=knobs,
        run=run_directory,
        resume=resume,
        seed=seed,
        device=device,
        data=data,
        tensorboard=tensorboard,
    )


def train_and_certify(recipe: str, own: Path | None, *, data: Path | None = None, **settings: Any) -> NoReturn:
    """Train, print scores and certificate, and leave with the exit code; ``own`` is the file of a recipe that is not built in."""
    from ..experiments.check import certify
    from ..experiments.record import Run
    from ..experiments.run import train as run_training
    from .tables import scores_table

    path = run_training(recipe, data=data, say=click.echo, **settings)
    if path is None:
        # One of several processes: rank 0 judges, certifies and speaks. Out at once, since gloo's threads aborted one interpreter in
        # 35 on its way out, for which torchrun then ends rank 0 in the middle of its certificate.
        sys.stdout.flush()
        os._exit(0)
    result = Run.open(path).load_json("result.json")
    click.echo(scores_table(result))
    certificate = certify(path, data=data, recipe=own)
    failed = [check["law"] for check in certificate["checks"] if not check["passed"]]
    word = "all laws hold" if not failed else f"FAILS: {', '.join(failed)} (bijectory verify {path})"
    click.echo(f"\n{path}: {result['steps']} steps in {result['seconds']:.1f} s; verify: {word}")
    sys.exit(1 if failed else 0)
