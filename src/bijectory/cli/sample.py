"""bijectory sample."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import recipe_option, run_argument
from .tables import handed

if TYPE_CHECKING:
    from ..experiments.answers import Sampled


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
@click.option(
    "--given",
    multiple=True,
    metavar="NAME=VALUE",
    help="Draw the other columns given this value; may be repeated. Exact where the order of a typed table's run begins with these "
    "columns, else chosen by weights, and how well is said.",
)
@recipe_option
def sample(
    run: Path,
    count: int | None,
    output: Path | None,
    seed: int,
    context_file: Path | None,
    given: tuple[str, ...],
    recipe: Path | None,
) -> None:
    """Draw rows, or pictures, from the model of RUN.

    Rows drawn for a context begin with it, so that `bijectory score` takes them as they are.

    \b
    bijectory sample runs/smiley_realnvp -n 1000 -o new.csv
    bijectory sample runs/smiley_realnvp -n 5
    bijectory sample runs/regression --context days.csv -n 100 -o new.csv
    bijectory sample runs/table -n 100 --given age=40 --given sex=f
    bijectory sample runs/digits_realnvp -o new.png            a sheet of 100 pictures
    bijectory sample runs/digits_realnvp -n 5000 -o new.npz    x (n, height, width, channels): the integers
    """
    from ..data.tables import check_ending, write_csv, write_table
    from ..errors import InputError
    from ..experiments.files import read_context
    from ..experiments.images import check_picture_ending, picture_shape, sample_pictures, write_pictures
    from ..experiments.record import Run
    from ..experiments.typed import is_typed
    from ..experiments.use import sample as sample_run
    from ..experiments.vector_queries import sample_vector

    if output is not None and output.suffix.lower() != ".png":
        check_ending(output)
    record = Run.open(run)
    if is_typed(record):
        _typed(run, count or (1000 if context_file is None else 1), output, seed, context_file, given, recipe)
        return
    if given and picture_shape(record) is None:
        if output is not None:
            check_ending(output)
        if context_file is not None:
            raise InputError(
                f"--given and --context: {run} is on plain rows, where only one of them works; leave --context out"
            )
        _asked(sample_vector(run, count or 1000, given=assigned(given), seed=seed, recipe=recipe), output)
        return
    if given:
        raise InputError(f"--given is for runs on rows, and {run} is one on pictures; leave it out")
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


def _typed(
    run: Path,
    count: int,
    output: Path | None,
    seed: int,
    context: Path | None,
    given: tuple[str, ...],
    recipe: Path | None,
) -> None:
    from ..data.tables import check_ending
    from ..experiments.answers import sample_typed

    if output is not None:
        check_ending(output)
    drawn = sample_typed(run, count, given=assigned(given), context=context, seed=seed, recipe=recipe)
    if given:
        _asked(drawn, output)
    else:
        handed([drawn.frame], output)


def _asked(drawn: Sampled, output: Path | None) -> None:
    """Draws given values, and on standard error how good they are."""
    handed([drawn.frame], output)
    rows = len(drawn.frame)
    if drawn.kind == "exact":
        click.echo("bijectory: exact: the run's order begins with what is given", err=True)
        return
    few = f"; too few for {rows:,} rows: many of them are the same" if drawn.effective < rows / 10 else ""
    click.echo(
        f"bijectory: estimate: {rows:,} rows chosen by weight among {drawn.candidates:,}, whose effective sample size is "
        f"{drawn.effective:,.0f}{few}",
        err=True,
    )


def assigned(given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, each name once, as a mapping; InputError for anything else."""
    from ..errors import InputError

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or name.strip() in found:
            raise InputError(f"--given: expected NAME=VALUE, each name once, got {text!r}; write --given age=40")
        found[name.strip()] = value
    return found
