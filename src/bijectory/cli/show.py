"""bijectory show."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from .tables import table


@click.command()
@click.argument("recipe")
def show(recipe: str) -> None:
    """Show a recipe: what it is, its knobs, and the number it should reach.

    \b
    bijectory show smiley_realnvp
    bijectory show ./mine.py
    """
    from ..experiments import knobs
    from ..experiments.recipe import find_recipe

    found = find_recipe(recipe)
    about = inspect.getdoc(inspect.getmodule(found.function)) or inspect.getdoc(found.function) or ""
    click.echo(f"{found.name}  ({Path(found.path).name if found.built_in else found.path})\n\n{about}\n")
    rows = [(k.name, k.type, _plain(k.default), k.doc) for k in knobs.knobs(found.function).values()]
    click.echo(table(("knob", "type", "default", ""), rows) + "\n")
    expect = found.build({}).expect
    if expect is None:
        click.echo("expected  nothing: the recipe names no published figure")
        return
    click.echo(f"expected  {expect.metric} {expect.value:g} ± {expect.tolerance:g} on {expect.split}: {expect.source}")
    click.echo(f"measured  {expect.measured}")
    click.echo(f"cost      {expect.minutes:g} minutes on {expect.hardware}")


def _plain(value: object) -> str:
    return (
        ",".join(map(str, value))
        if isinstance(value, tuple)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
