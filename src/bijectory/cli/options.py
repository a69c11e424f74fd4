"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
skip_option = click.option(
    "--skip-bad",
    is_flag=True,
    help="Leave pictures or rows of a typed table out that cannot be used, and count them, instead of stopping.",
)
run_argument = click.argument("run", type=click.Path(path_type=Path))


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What ``train`` and ``fit`` are told besides what to train."""
    for option in reversed(
        [
            click.option(
                "--run",
                "run_directory",
                type=click.Path(path_type=Path),
                help="Where the run goes. [default: runs/RECIPE, or the next free name]",
            ),
            click.option(
                "--resume",
                is_flag=True,
                help="Continue an interrupted run; the result is the uninterrupted one's, bit for bit.",
            ),
            click.option("--seed", type=int, help="Seed of everything random. [default: 0]"),
            click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps."),
            click.option(
                "--tensorboard",
                is_flag=True,
                help="Also write TensorBoard events into the run (needs the extra of that name).",
            ),
        ]
    ):
        command = option(command)
    return command
