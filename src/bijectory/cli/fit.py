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
    """Train a model on DATA of your own: a table, or pictures. Exit code 1 where a law fails.

    A table is a .csv or .tsv (also packed as .gz), a .parquet or a folder of them, or an .npz of columns; numbers, counts, words and gaps
    stay what they are, and the model is the joint density of its rows. It is the recipe `table` with data=DATA. Pictures are a folder of
    files, or an .npz of integers: the recipe `pictures`. What is chosen by what is there (kinds of columns, size, model, budget) is said,
    and can be said otherwise by knobs: `bijectory show table`, `bijectory show pictures`.

    \b
    bijectory fit people.csv
    bijectory fit people.csv kinds="hour=circular(0,24), id=ignore" order=age,sex minutes=1 --run runs/people
    bijectory fit people/                                  a folder of Parquet files
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
