"""The verb table and the exit codes: 0 done, 1 a certificate that fails, 2 a mistake that is the user's to mend, 130 or 143 interrupted."""

from __future__ import annotations

import difflib
import os
import sys

import click

from .. import __version__
from ..errors import BijectoryError, InterruptedTraining
from .decode import decode
from .encode import encode
from .evaluate import evaluate
from .fit import fit
from .impute import impute
from .interpolate import interpolate
from .list import list_recipes
from .report import report
from .sample import sample
from .score import score
from .show import show
from .train import train
from .verify import verify

VERBS = {
    "list": list_recipes,
    "show": show,
    "train": train,
    "fit": fit,
    "evaluate": evaluate,
    "sample": sample,
    "score": score,
    "impute": impute,
    "interpolate": interpolate,
    "encode": encode,
    "decode": decode,
    "verify": verify,
    "report": report,
}


class _Verbs(click.Group):
    """The verbs in the order in which one meets them, and the nearest one for a typing error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise click.UsageError(f"there is no verb {args[0]!r}; {hint}verbs: {', '.join(VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        # Click would leave with 1 where the reader of a pipe left, which is what a certificate that fails leaves with.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _unheard()


def _unheard() -> int:
    """The reader of a pipe (head, less) left: nothing is wrong, and Python must not complain while closing stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@click.group(
    cls=_Verbs, commands=VERBS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="bijectory")
def bijectory() -> None:
    """Train, judge and use generative models with a likelihood.

    \b
    bijectory list                                     what can be trained
    bijectory train smiley_mixture_cdf                 train, judge, certify: runs/smiley_mixture_cdf
    bijectory train smiley_realnvp depth=8 rate=1e-3   with other knobs (bijectory show smiley_realnvp)
    bijectory fit holidays/                            a model of your own pictures: runs/pictures
    bijectory fit people.csv                           a model of your own table: runs/table
    bijectory evaluate runs/smiley_realnvp --json      its scores, computed anew
    bijectory sample runs/smiley_realnvp -n 1000 -o new.csv
    bijectory score runs/smiley_realnvp rows.csv -o densities.csv
    bijectory score runs/pictures new/                 your pictures, the most unusual first
    bijectory sample runs/table --given age=40         rows as they may be where one value is known
    bijectory impute runs/table people.csv -o all.csv  its gaps, filled
    bijectory interpolate runs/celeba32_realnvp a.png b.png -o between.png
    bijectory encode runs/pictures new/ -o latents.npz and back: bijectory decode
    bijectory report runs/*                            one page of everything: runs/report.html
    """


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = bijectory.main(standalone_mode=False, prog_name="bijectory")
        sys.stdout.flush()
    except InterruptedTraining as error:
        click.echo(f"bijectory: {error}", err=True)
        code = 128 + error.signal
    except BijectoryError as error:
        click.echo(f"bijectory: {error}", err=True)
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("bijectory: interrupted", err=True)
        code = 130
    except BrokenPipeError:
        code = _unheard()
    sys.exit(code if isinstance(code, int) else 0)
