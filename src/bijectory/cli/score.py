"""bijectory score."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import recipe_option, run_argument


@click.command()
@run_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="A .csv, .npz or .parquet file. [default: CSV to standard output]",
)
@recipe_option
def score(run: Path, file: Path, output: Path | None, recipe: Path | None) -> None:
    """Log density, in nats, of each row of FILE under the model of RUN: one row out for each row in, in its order.

    FILE holds the model's columns and, for a conditional model, those that it is conditional on, all found by their names.

    \b
    bijectory score runs/smiley_realnvp rows.csv -o densities.csv
    bijectory score runs/smiley_realnvp rows.npz | sort -g | head      the most unusual rows
    """
    from ..data.tables import check_ending, write_csv, write_table
    from ..experiments.files import read_rows
    from ..experiments.record import Run
    from ..experiments.use import score as score_run

    if output is not None:
        check_ending(output)
    rows = read_rows(Run.open(run), file)
    if rows.ignored:
        click.echo(
            f"bijectory: {file}: columns the model does not know are left out: {', '.join(rows.ignored)}", err=True
        )
    name, values = score_run(run, rows.x, context=rows.context, recipe=recipe)
    if output is None:
        write_csv(sys.stdout, (name,), values[:, None])
    else:
        write_table(output, (name,), values[:, None])
