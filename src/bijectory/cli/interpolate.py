"""bijectory interpolate."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import json_option, recipe_option, run_argument


@click.command()
@run_argument
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A .png file for the strip of pictures, or a .npz file for their integers; one that is there is replaced.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=8,
    show_default=True,
    help="How many pictures, the two ends among them.",
)
@json_option
@recipe_option
def interpolate(
    run: Path, first: Path, second: Path, output: Path, steps: int, as_json: bool, recipe: Path | None
) -> None:
    """Walk from picture FIRST to picture SECOND on a straight line between their latents under the model of RUN.

    The pictures have the size and the channels of those the model was trained on; their values are brought to its levels.

    \b
    bijectory interpolate runs/celeba32_realnvp a.png b.png -o between.png
    bijectory interpolate runs/celeba32_realnvp a.png b.png -o between.png --steps 12 --json
    bijectory interpolate runs/celeba32_realnvp a.png b.png -o between.npz
    """
    from ..experiments.images import check_picture_ending, write_pictures
    from ..experiments.images import interpolate as interpolate_run

    check_picture_ending(output)
    walk = interpolate_run(run, first, second, steps=steps, recipe=recipe)
    width, height = write_pictures(output, walk.pictures, walk.levels, columns=steps)
    if as_json:
        written = {"file": str(output), "first": str(first), "second": str(second), "pictures": steps}
        click.echo(json.dumps({**written, "width": width, "height": height, "ends_exact": walk.exact}, indent=2))
    else:
        ends = "the ends come back exactly" if walk.exact else "the ends do not come back exactly"
        click.echo(f"{output}: {steps} pictures, {width} × {height} pixels; {ends}")
