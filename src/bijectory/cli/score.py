"""bijectory score."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .options import json_option, recipe_option, run_argument, skip_option
from .tables import handed, told, told_ignored, told_rows


@click.command()
@run_argument
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="A .csv file; for rows also .npz or .parquet. [default: CSV to standard output]",
)
@click.option(
    "--order",
    type=click.Choice(["unusual", "file"]),
    help="The most unusual first, or as the file has them. [default: pictures: unusual; rows: file]",
)
@click.option(
    "--given",
    metavar="NAME,…",
    help="Of rows: score the other columns given these. Exact where the order of a typed table's run begins with them, else an estimate.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=2),
    default=256,
    show_default=True,
    help="For an estimate with --given: weighted draws for each row; four times as many halve its standard error.",
)
@json_option
@skip_option
@recipe_option
def score(
    run: Path,
    data: Path,
    output: Path | None,
    order: str | None,
    given: str | None,
    draws: int,
    as_json: bool,
    skip_bad: bool,
    recipe: Path | None,
) -> None:
    """What DATA is to the model of RUN: bits per dimension of each picture, or log density, in nats, of each row.

    Pictures are a folder, a file or an .npz of them, prepared as those the model was trained on; those that cost most bits come first. For
    rows, DATA holds the model's columns and, for a conditional model, those that it is conditional on, all found by their names; one row
    out for each row in, in its order. Of a run of `bijectory fit data.csv`, DATA may also be a .tsv, either packed as .gz, or a folder of
    Parquet files, of any length: it is read and scored chunk by chunk. With --skip-bad or --order unusual a column `row` numbers the rows.

    \b
    bijectory score runs/holidays new/ | head                          the most unusual pictures
    bijectory score runs/holidays new/ --order file --skip-bad -o bits.csv
    bijectory score runs/smiley_realnvp rows.csv -o densities.csv
    bijectory score runs/table people.csv --order unusual | head       the most unusual rows
    bijectory score runs/table people/ --skip-bad -o densities.parquet
    bijectory score runs/table people.csv --given age,sex              of all other columns, given these two
    """
    from ..errors import InputError
    from ..experiments.images import picture_shape
    from ..experiments.record import Run
    from ..experiments.typed import is_typed

    if as_json and output is not None:
        raise InputError(f"--json prints the scores, and -o {output} writes them; choose one")
    record = Run.open(run)
    names = [] if given is None else [name.strip() for name in given.split(",")]
    if is_typed(record):
        _typed(run, data, output, order or "file", names, draws, as_json, skip_bad, recipe)
    elif picture_shape(record) is not None:
        if names:
            raise InputError(f"--given is for runs on rows, and {run} is one on pictures; leave it out")
        _pictures(run, data, output, order or "unusual", as_json, skip_bad, recipe)
    elif order == "unusual" or skip_bad:
        raise InputError(
            f"--order unusual and --skip-bad are for pictures and typed tables, and {run} is a run on plain rows; leave them out"
        )
    else:
        _rows(run, data, output, names, draws, as_json, recipe)


def _typed(
    run: Path,
    data: Path,
    output: Path | None,
    order: str,
    given: list[str],
    draws: int,
    as_json: bool,
    skip_bad: bool,
    recipe: Path | None,
) -> None:
    from ..data.tables import check_ending
    from ..experiments.answers import score_typed, unusual_first
    from ..experiments.typed import Reading

    if output is not None:
        check_ending(output)
    reading, unusual = Reading(), order == "unusual"
    frames = score_typed(
        run, data, reading, given=given, draws=draws, skip_bad=skip_bad, numbered=unusual, recipe=recipe
    )
    handed([unusual_first(frames)] if unusual else frames, output, as_json)
    told_ignored(data, reading.ignored)
    told_rows(reading, "scored")


def _pictures(
    run: Path, data: Path, output: Path | None, order: str, as_json: bool, skip_bad: bool, recipe: Path | None
) -> None:
    from ..data.archives import whole_file
    from ..errors import InputError
    from ..experiments.images import score_pictures

    if output is not None and output.suffix.lower() != ".csv":
        raise InputError(f"{output}: expected a name ending in .csv, got {output.suffix or 'no ending'}")
    bits = score_pictures(run, data, skip=skip_bad, recipe=recipe)
    if order == "unusual":
        bits = bits.unusual_first()
    told(bits.given)
    if as_json:
        click.echo(json.dumps([{"file": name, bits.column: value} for name, value in bits.rows()], indent=2))
        return
    text = bits.csv()
    if output is None:
        click.echo(text, nl=False)
    else:
        with whole_file(output) as file:
            file.write(text.encode())
    first = "the most unusual first" if order == "unusual" else "as the files are"
    click.echo(f"bijectory: {len(bits.values):,} pictures, {first}", err=True)


def _rows(
    run: Path, data: Path, output: Path | None, given: list[str], draws: int, as_json: bool, recipe: Path | None
) -> None:
    from ..data.tables import check_ending, write_csv, write_table
    from ..experiments.files import read_rows
    from ..experiments.json_files import without_nan
    from ..experiments.record import Run
    from ..experiments.use import score as score_run
    from ..experiments.vector_queries import score_vector

    if output is not None:
        check_ending(output)
    rows = read_rows(Run.open(run), data)
    told_ignored(data, rows.ignored)
    if given:
        names, values = score_vector(run, rows.x, given=given, draws=draws, recipe=recipe)
    else:
        name, found = score_run(run, rows.x, context=rows.context, recipe=recipe)
        names, values = (name,), found[:, None]
    if as_json:
        click.echo(json.dumps(without_nan([dict(zip(names, row, strict=True)) for row in values.tolist()]), indent=2))
    elif output is None:
        write_csv(sys.stdout, names, values)
    else:
        write_table(output, names, values)
