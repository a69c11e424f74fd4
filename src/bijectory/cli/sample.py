"""bijectory sample."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import recipe_option, run_argument


@click.command()
@run_argument
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    help="How many, for each row of --context. [default: 1000 rows, 100 pictures for a .png, 1 for a row of --context]",
)
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="A .csv, .npz or .parquet file; for pictures .png or .npz. [default: CSV to standard output]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same rows.")
@click.option(
    "--context",
    "context_file",
    type=click.Path(path_type=Path),
    help="A .csv, .npz or .parquet file with the columns that the model of RUN is conditional on.",
)
@recipe_option
def sample(
    run: Path,
    count: int | None,
    output: Path | None,
    seed: int,
    context_file: Path | None,
    recipe: Path | None,
) -> None:
    """Draw rows, or pictures, from the model of RUN.

    Rows drawn for a context begin with it, so that `bijectory score` takes them as they are.

    \b
    bijectory sample runs/smiley_realnvp -n 1000 -o new.csv
    bijectory sample runs/smiley_realnvp -n 5
    bijectory sample runs/regression --context days.csv -n 100 -o new.csv
    bijectory sample runs/digits_realnvp -o new.png            a sheet of 100 pictures
    bijectory sample runs/digits_realnvp -n 5000 -o new.npz    x (n, height, width, channels): the integers
    """
    from ..data.tables import check_ending, write_csv, write_table
    from ..errors import InputError
    from ..experiments.files import read_context
    from ..experiments.images import check_picture_ending, picture_shape, sample_pictures, write_pictures
    from ..experiments.record import Run
    from ..experiments.use import sample as sample_run

    if output is not None and output.suffix.lower() != ".png":
        check_ending(output)
    record = Run.open(run)
    context = read_context(record, context_file)
    if picture_shape(record) is not None:
        if output is None:
            raise InputError(
                f"{run}: draws pictures, which have no place on standard output; name a file with -o new.png"
            )
        check_picture_ending(output)
        pictures, levels = sample_pictures(
            run, count or (100 if output.suffix.lower() == ".png" else 1000), seed=seed, recipe=recipe
        )
        write_pictures(output, pictures, levels)
        return
    if output is not None:
        check_ending(output)
    columns, values = sample_run(
        run, count or (1000 if context is None else 1), context=context, seed=seed, recipe=recipe
    )
    if output is None:
        write_csv(sys.stdout, columns, values)
    else:
        write_table(output, columns, values)
