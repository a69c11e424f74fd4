"""bijectory sample."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import recipe_option, run_argument


@click.command()
@run_argument
@click.option("-n", "count", type=click.IntRange(min=1), default=1000, show_default=True, help="How many rows.")
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="A .csv, .npz or .parquet file. [default: CSV to standard output]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same rows.")
@recipe_option
def sample(run: Path, count: int, output: Path | None, seed: int, recipe: Path | None) -> None:
    """Draw rows from the model of RUN.

    \b
    bijectory sample runs/smiley_realnvp -n 1000 -o new.csv
    bijectory sample runs/smiley_realnvp -n 5
    """
    from ..data.tables import check_ending, write_csv, write_table
    from ..experiments.run import sample as sample_run

    if output is not None:
        check_ending(output)
    columns, values = sample_run(run, count, seed=seed, recipe=recipe)
    if output is None:
        write_csv(sys.stdout, columns, values)
    else:
        write_table(output, columns, values)
