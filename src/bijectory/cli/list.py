"""bijectory list."""

from __future__ import annotations

import click

from .tables import table


@click.command("list")
def list_recipes() -> None:
    """List the recipes that come with bijectory.

    \b
    bijectory list
    bijectory show smiley_realnvp     one of them, with its knobs
    """
    from ..experiments.recipe import built_in_recipes

    click.echo(table(("recipe", "what it is"), built_in_recipes().items()))
