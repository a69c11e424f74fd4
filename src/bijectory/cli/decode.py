"""bijectory decode."""

from __future__ import annotations

from pathlib import Path

import click

from .options import recipe_option, run_argument


@click.command()
@run_argument
@click.argument("latents", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder for a PNG each, a .png for a sheet of all, an .npz for the integers; for rows a .csv, .npz or .parquet.",
)
@recipe_option
def decode(run: Path, latents: Path, output: Path, recipe: Path | None) -> None:
    """Pictures, or rows, from LATENTS under the model of RUN: what `bijectory encode` wrote, as it was or changed since.

    \b
    bijectory decode runs/holidays latents.npz -o again/
    bijectory decode runs/holidays latents.npz -o sheet.png
    bijectory decode runs/smiley_realnvp latents.csv -o rows.csv
    """
    from ..data.tables import check_ending, write_table
    from ..experiments.images import check_picture_ending, picture_shape, write_pictures
    from ..experiments.latents import check_folder, decode_pictures, decode_rows, write_folder
    from ..experiments.record import Run

    if picture_shape(Run.open(run)) is None:
        check_ending(output)
        columns, values = decode_rows(run, latents, recipe=recipe)
        write_table(output, columns, values)
        click.echo(f"{output}: {len(values):,} rows")
        return
    folder = not output.suffix or output.is_dir()
    if folder:
        check_folder(output)
    else:
        check_picture_ending(output)
    pictures, names, levels = decode_pictures(run, latents, recipe=recipe)
    if folder:
        write_folder(output, pictures, names, levels)
    else:
        write_pictures(output, pictures, levels)
    click.echo(f"{output}: {len(pictures):,} pictures")
