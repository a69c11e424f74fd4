"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="BIJECTORY_DATA",
    help="Folder with data sets. [env: BIJECTORY_DATA]",
)
recipe_option = click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The Python file that a run was trained from, where it is your own: the copy in the run is never executed.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
run_argument = click.argument("run", type=click.Path(path_type=Path))
