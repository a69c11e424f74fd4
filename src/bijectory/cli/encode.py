"""bijectory encode."""

from __future__ import annotations

from pathlib import Path

import click

from .options import recipe_option, run_argument, skip_option
from .tables import told


@click.command()
@run_argument
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="An .npz file; for rows also .csv or .parquet. One that is there is replaced.",
)
@skip_option
@recipe_option
def encode(run: Path, data: Path, output: Path, skip_bad: bool, recipe: Path | None) -> None:
    """Latents of DATA under the model of RUN: of a picture, a folder or an .npz of pictures, or of the rows of a table.

    Latents of pictures are z (n, channels, height, width) in an .npz, in float64, so that `bijectory decode` gives the same integers; those
    of rows are columns z1, z2, … behind the columns of the context.

    \b
    bijectory encode runs/holidays holidays/ -o latents.npz
    bijectory encode runs/smiley_realnvp rows.csv -o latents.csv
    """
    from ..data.tables import check_ending, write_table
    from ..errors import InputError
    from ..experiments.images import picture_shape
    from ..experiments.latents import encode_pictures, encode_rows, write_latents
    from ..experiments.record import Run

    if picture_shape(Run.open(run)) is None:
        if skip_bad:
            raise InputError(f"--skip-bad is for pictures, and {run} is a run on rows; leave it out")
        check_ending(output)
        columns, values = encode_rows(run, data, recipe=recipe)
        write_table(output, columns, values)
        click.echo(f"{output}: latents of {len(values):,} rows")
        return
    if output.suffix.lower() != ".npz":
        raise InputError(f"{output}: expected a name ending in .npz, got {output.suffix or 'no ending'}")
    encoded = encode_pictures(run, data, skip=skip_bad, recipe=recipe)
    write_latents(output, encoded, run)
    told(encoded.given)
    count = len(encoded.z)
    back = "all come back exactly" if encoded.exact == count else f"{encoded.exact:,} of them come back exactly"
    click.echo(f"{output}: latents of {count:,} pictures, {' × '.join(map(str, encoded.z.shape[1:]))}; {back}")
