"""bijectory evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import data_option, json_option, recipe_option, run_argument


@click.command()
@run_argument
@json_option
@data_option
@recipe_option
def evaluate(run: Path, as_json: bool, data: Path | None, recipe: Path | None) -> None:
    """Compute the scores of RUN anew, from its weights and its data.

    \b
    bijectory evaluate runs/smiley_realnvp
    bijectory evaluate runs/smiley_realnvp --json | jq .scores
    """
    from ..experiments.use import evaluate as evaluate_run
    from .tables import scores_table

    result = evaluate_run(run, data=data, recipe=recipe)
    click.echo(json.dumps(result, indent=2) if as_json else scores_table(result))
