"""bijectory verify."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .options import data_option, json_option, recipe_option, run_argument


@click.command()
@run_argument
@json_option
@data_option
@recipe_option
def verify(run: Path, as_json: bool, data: Path | None, recipe: Path | None) -> None:
    """Certify RUN: is its density a density, and the one it samples from? Exit code 1 where a law fails.

    Round trips, the log-det against the autodiff Jacobian, the integral, samples against density, context reach, far inputs.

    \b
    bijectory verify runs/smiley_realnvp
    """
    from ..experiments.check import certify
    from .tables import table

    certificate = certify(run, data=data, recipe=recipe)
    if as_json:
        click.echo(json.dumps(certificate, indent=2))
    else:
        rows = [
            ("pass" if c["passed"] else "FAIL", c["law"], _figure(c["figure"]), _figure(c["bound"]), c["note"])
            for c in certificate["checks"]
        ]
        click.echo(table(("", "law", "figure", "bound", ""), rows, right=(2, 3)))
    sys.exit(0 if all(c["passed"] for c in certificate["checks"]) else 1)


def _figure(value: float | None) -> str:
    return "nan" if value is None else f"{value:.3g}"
