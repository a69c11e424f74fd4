"""bijectory impute."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option, recipe_option, run_argument, skip_option
from .tables import handed, told_rows

if TYPE_CHECKING:
    from ..experiments.answers import Filling


@click.command()
@run_argument
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="A .csv, .npz or .parquet file. [default: CSV to standard output]",
)
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many times each row, one below the other, each with draws of its own: what they differ by is what is not known.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed fills the same values.")
@json_option
@skip_option
@recipe_option
def impute(
    run: Path,
    data: Path,
    output: Path | None,
    draws: int,
    seed: int,
    as_json: bool,
    skip_bad: bool,
    recipe: Path | None,
) -> None:
    """Fill the gaps of the table DATA with draws of the model of RUN, given what is there in their row.

    RUN is one of `bijectory fit data.csv`. A gap is what is missing in DATA: an empty field, NA, a null. All other values, and columns that
    the model does not know, stay as they are. On standard error: how many gaps were filled, and how well.

    \b
    bijectory impute runs/table people.csv -o whole.csv
    bijectory impute runs/table people.csv --draws 20 -o twenty.parquet
    """
    from ..data.tables import check_ending
    from ..errors import InputError
    from ..experiments.answers import Filling, impute_typed

    if as_json and output is not None:
        raise InputError(f"--json prints the rows, and -o {output} writes them; choose one")
    if output is not None:
        check_ending(output)
    filling = Filling()
    handed(impute_typed(run, data, filling, draws=draws, seed=seed, skip_bad=skip_bad, recipe=recipe), output, as_json)
    if filling.ignored:
        click.echo(
            f"bijectory: {data}: columns that are neither numbers nor words are left out: {', '.join(filling.ignored)}",
            err=True,
        )
    told_rows(filling, "written")
    _told_filling(filling)


def _told_filling(filling: Filling) -> None:
    """Say on standard error what was filled, and how well."""
    if not filling.filled:
        click.echo("bijectory: no gaps to fill", err=True)
        return
    click.echo("bijectory: filled: " + ", ".join(f"{name} {n:,}" for name, n in filling.filled.items()), err=True)
    if filling.exact:
        click.echo(f"bijectory: exact: {filling.exact:,} rows", err=True)
    if filling.effective:
        sizes = filling.effective
        few = sum(size < filling.candidates / 10 for size in sizes)
        click.echo(
            f"bijectory: estimate: {len(sizes):,} rows, each chosen by weight among {filling.candidates} a draw, whose effective sample "
            f"size is {statistics.median(sizes):.0f} in the middle"
            + (f", below {filling.candidates / 10:.0f} for {few:,}" if few else ""),
            err=True,
        )
