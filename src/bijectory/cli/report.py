"""bijectory report."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("runs/report.html"),
    show_default=True,
    help="The page; one that is there is replaced.",
)
def report(runs: tuple[Path, ...], output: Path) -> None:
    """Make one self-contained page of RUNs: curves, densities, latents, the map, the film of training, certificate, settings.

    \b
    bijectory report runs/smiley_mixture_cdf runs/smiley_realnvp
    bijectory report runs/* -o comparison.html
    """
    from ..report.page import write_report

    # `runs/*` names the page of last time too.
    runs = tuple(run for run in runs if run.suffix != ".html")
    write_report(runs, output)
    click.echo(f"{output}: {len(runs)} run{'s' if len(runs) > 1 else ''}, {output.stat().st_size / 1e6:.1f} MB")
