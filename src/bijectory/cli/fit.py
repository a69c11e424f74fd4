"""bijectory fit."""

from __future__ import annotations

from pathlib import Path

import click

from .options import training_options
from .train import train_and_certify


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("knobs", nargs=-1, metavar="[knob=value]...")
@training_options
def fit(
    data: Path,
    knobs: tuple[str, ...],
    run_directory: Path | None,
    resume: bool,
    seed: int | None,
    device: str,
    tensorboard: bool,
) -> None:
    """Train a model on DATA of your own: a folder of pictures, or an .npz of them. Exit code 1 where a law fails.

    It is the recipe `pictures` with data=DATA, whose knobs `bijectory show pictures` lists; size, levels, model and budget are chosen by
    what is there, and said.

    \b
    bijectory fit holidays/
    bijectory fit holidays/ size=32 bits=5 minutes=20 skip=true --run runs/holidays
    bijectory fit holidays/ --run runs/holidays --resume
    """
    from ..experiments.auto import recipe_for

    recipe, given = recipe_for(data)
    train_and_certify(
        recipe,
        None,
        assignments=[*given, *knobs],
        run=run_directory,
        resume=resume,
        seed=seed,
        device=device,
        tensorboard=tensorboard,
    )
